//! What is answered to which request.

use bytes::Bytes;
use form_urlencoded::parse;
use http_body_util::{BodyExt, Empty, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};
use tokio::sync::watch::Receiver;

use super::{
    hosts::Hosts,
    looks::Looks,
    page::PAGE,
    prometheus,
    view::{MOST, View, Wanted},
    watch::{Body, Watchers},
};
use crate::coordinator::Office;

/// All that can be asked for.
pub(super) struct Answers {
    hosts: Hosts,
    looks: Looks,
    watchers: Watchers,
}

impl Answers {
    pub(super) fn new(office: Office, hosts: Hosts, stopped: Receiver<bool>) -> Self {
        let looks = Looks::new(office);
        Self {
            hosts,
            watchers: Watchers::new(looks.clone(), stopped),
            looks,
        }
    }

    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let mut answer = self.choose(&request).await;
        let headers = answer.headers_mut();
        for (name, value) in ALWAYS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        answer
            .headers_mut()
            .insert(header::CONTENT_SECURITY_POLICY, PAGE.policy.clone());
        answer
    }

    async fn choose(&self, request: &Request<Incoming>) -> Response<Body> {
        if !self.hosts.allow(request.headers().get(header::HOST)) {
            let why =
                "this is only for who asks for localhost, or for the address that is listened at\n";
            return text(StatusCode::FORBIDDEN, why);
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let mut answer = text(
                StatusCode::METHOD_NOT_ALLOWED,
                "there is nothing but to GET\n",
            );
            let allowed = HeaderValue::from_static("GET, HEAD");
            answer.headers_mut().insert(header::ALLOW, allowed);
            return answer;
        }
        match request.uri().path() {
            "/" => of(HTML, PAGE.text.clone()),
            "/metrics" => match prometheus::text(&*self.looks.latest().await) {
                Ok(text) => of(prometheus::CONTENT_TYPE, text.into()),
                Err(_) => failed(),
            },
            "/status" => self.status(request.uri().query()).await,
            // Whoever wants the head does not stay.
            "/events" if request.method() == Method::HEAD => of(EVENTS, Bytes::new()),
            "/events" => match self.watchers.enter() {
                Some(body) => with_type(EVENTS, body),
                None => text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "as many as may watch already do\n",
                ),
            },
            _ => text(
                StatusCode::NOT_FOUND,
                "there are /, /status, /metrics and /events\n",
            ),
        }
    }

    async fn status(&self, query: Option<&str>) -> Response<Body> {
        let Some(wanted) = wanted(query.unwrap_or_default()) else {
            let why = "/status?find=TEXT&most=NUMBER\n";
            return text(StatusCode::BAD_REQUEST, why);
        };
        let look = self.looks.latest().await;
        match serde_json::to_vec(&View::of(&look, &wanted)) {
            Ok(mut text) => {
                text.push(b'\n');
                of(JSON, text.into())
            }
            Err(_) => failed(),
        }
    }
}

fn wanted(query: &str) -> Option<Wanted> {
    let mut wanted = Wanted::default();
    for (key, value) in parse(query.as_bytes()) {
        match &*key {
            "find" => wanted.find = value.to_lowercase(),
            "most" => wanted.most = value.parse().ok().filter(|it| *it <= MOST)?,
            _ => return None,
        }
    }
    Some(wanted)
}

fn failed() -> Response<Body> {
    text(
        StatusCode::INTERNAL_SERVER_ERROR,
        "that could not be told\n",
    )
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut answer = of(TEXT, text.into());
    *answer.status_mut() = status;
    answer
}

fn of(kind: &'static str, text: Bytes) -> Response<Body> {
    match text.is_empty() {
        true => with_type(kind, Empty::new().boxed_unsync()),
        false => with_type(kind, Full::new(text).boxed_unsync()),
    }
}

fn with_type(kind: &'static str, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}

const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// What is told is of now, and for nobody else's page.
const ALWAYS: [(HeaderName, &str); 4] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];
