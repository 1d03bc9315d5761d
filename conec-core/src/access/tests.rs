use bytes::Bytes;

use super::*;

fn id(byte: u8) -> ClientId {
    ClientId::from_bytes([byte; 32])
}

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

fn rules(text: &str) -> Rules {
    let rules: Rules = text.parse().unwrap();
    assert_eq!(rules.to_string().parse().as_ref(), Ok(&rules));
    rules
}

/// Somebody who wants to be called so.
fn admission(rules: &Rules, who: u8, name: &str, certified: bool, token: &str) -> Admission {
    rules.admission(&Applicant {
        id: id(who),
        name: Some(&self::name(name)),
        certified,
        token: &Secret::from(token),
        time: Duration::from_secs(1000),
    })
}

struct Client {
    names: Vec<Name>,
    tags: Tags,
    certified: bool,
}

fn client(name: &str, tags: &[&str]) -> Client {
    Client {
        names: vec![self::name("first"), self::name(name)],
        tags: tags.iter().map(|tag| self::name(tag)).collect(),
        certified: false,
    }
}

impl Client {
    fn standing(&self) -> Standing<'_> {
        Standing {
            id: id(9),
            name: self.names.first(),
            others: &self.names[1..],
            tags: &self.tags,
            certified: self.certified,
        }
    }
}

#[test]
fn the_first_that_fits_decides_and_where_none_does_nobody_may() {
    let text = format!(
        "connect deny {}\nconnect allow certified tag staff\n\
         connect ask name:printer-* as printer,office tag a,b\nconnect allow {} until 1000",
        id(1),
        id(3)
    );
    let rules = rules(&text);
    let policy = |who, name, certified| admission(&rules, who, name, certified, "").policy;
    assert_eq!(policy(1, "printer-1", true), Policy::Deny);
    assert_eq!(policy(2, "printer-1", true), Policy::Allow);
    assert_eq!(policy(2, "printer-1", false), Policy::Ask);
    assert_eq!(policy(2, "alice", false), Policy::Deny);
    assert_eq!(policy(3, "alice", false), Policy::Deny, "its time is over");
    let printer = admission(&rules, 2, "printer-1", false, "");
    assert_eq!(printer.names, [name("printer"), name("office")]);
    assert_eq!(printer.tags, Tags::from([name("a"), name("b")]));
    let staff = admission(&rules, 2, "alice", true, "");
    assert_eq!(staff.names, []);
    assert_eq!(
        Rules::default()
            .admission(&Applicant {
                id: id(1),
                name: None,
                certified: true,
                token: &Secret::default(),
                time: Duration::ZERO,
            })
            .policy,
        Policy::Deny
    );
}

#[test]
fn who_reaches_whom_may_depend_on_both_and_on_what_for() {
    let rules = rules(
        "reach deny any to name:vault\nreach allow tag:staff to any\n\
         reach ask any to tag:office label print/*\nreach allow any to same-tag\n\
         introduce allow name:lobby\nintroduce ask certified",
    );
    let reach = |from: &Client, to: &Client, label: &[u8]| {
        rules.reach(&from.standing(), &to.standing(), label)
    };
    let [staff, guest] = [client("alice", &["staff"]), client("guest", &["a", "b"])];
    let [vault, printer] = [client("vault", &["staff"]), client("printer", &["office"])];
    assert_eq!(reach(&staff, &vault, b""), Policy::Deny);
    assert_eq!(reach(&staff, &guest, b""), Policy::Allow);
    assert_eq!(reach(&guest, &staff, b""), Policy::Deny);
    assert_eq!(reach(&guest, &printer, b"print/1"), Policy::Ask);
    assert_eq!(reach(&guest, &printer, b"scan"), Policy::Deny);
    assert_eq!(reach(&guest, &printer, b"\xff"), Policy::Deny);
    assert_eq!(reach(&guest, &client("other", &["b"]), b""), Policy::Allow);
    assert!(rules.may_ask_about_channels() && !rules.allow_no_channels());
    let introduction = |who: &Client| rules.introduction(&who.standing());
    assert_eq!(introduction(&client("lobby", &[])), Policy::Allow);
    assert_eq!(introduction(&guest), Policy::Deny);
    let certified = Client {
        certified: true,
        ..guest
    };
    assert_eq!(introduction(&certified), Policy::Ask);
    assert!(Rules::default().allow_no_channels());
}

#[test]
fn a_key_means_that_one_and_no_other() {
    let [alice, bob] = ["alice", "bob"].map(|name| client(name, &[]));
    for (key, policy) in [(9, Policy::Allow), (8, Policy::Deny)] {
        let rules = rules(&format!("reach allow {} to any", id(key)));
        let reach = rules.reach(&alice.standing(), &bob.standing(), b"");
        assert_eq!(reach, policy);
    }
}

#[test]
fn ready_made_rules_are_as_their_names_say() {
    let may_connect = |rules: &Rules, who, certified| {
        admission(rules, who, "alice", certified, "").policy == Policy::Allow
    };
    for (rules, expected) in [
        (Rules::everybody(), [true, true, true]),
        (Rules::nobody(), [false, false, false]),
        (Rules::listed([id(1)]), [true, false, false]),
        (Rules::certified(), [false, false, true]),
    ] {
        let may = [(1, false), (2, false), (3, true)];
        let found = may.map(|(who, certified)| may_connect(&rules, who, certified));
        assert_eq!(found, expected, "{rules}");
        let [one, other] = [client("alice", &["a"]), client("bob", &["b"])];
        let reach = |rules: &Rules, to: &Client| {
            rules.reach(&one.standing(), &to.standing(), b"") == Policy::Allow
        };
        assert!(reach(&rules, &other));
        let within = rules.within_tags();
        assert!(reach(&within, &one) && !reach(&within, &other));
    }
}

#[test]
fn an_invitation_is_good_for_one_key_and_for_a_while() {
    let mut rules = Rules::nobody();
    let hash = TokenHash::of(b"token");
    for (hash, until) in [(hash, 1001), (TokenHash::of(b"late"), 1000)] {
        let until = Duration::from_secs(until);
        rules.invite(hash, until, vec![name("printer")], Tags::new());
    }
    assert_eq!(rules.to_string().parse().as_ref(), Ok(&rules));
    assert!(!rules.to_string().contains("token token"));
    assert_eq!(
        admission(&rules, 1, "x", false, "late").policy,
        Policy::Deny
    );
    assert_eq!(admission(&rules, 1, "x", false, "").policy, Policy::Deny);
    let found = admission(&rules, 1, "x", false, "token");
    assert_eq!(
        (found.policy, found.invitation),
        (Policy::Allow, Some(hash))
    );
    assert!(rules.joined(hash, id(1)));
    assert!(!rules.joined(hash, id(2)), "once");
    assert_eq!(
        admission(&rules, 2, "x", false, "token").policy,
        Policy::Deny
    );
    let back = admission(&rules, 1, "x", false, "");
    assert_eq!(
        (back.policy, back.names),
        (Policy::Allow, vec![name("printer")])
    );
    let before = rules.connect.len();
    rules.tidy(Duration::from_secs(1000));
    assert_eq!(rules.connect.len(), before - 1);
}

#[test]
fn who_is_forbidden_is_until_that_is_taken_back() {
    let mut rules = Rules::listed([id(1), id(2)]);
    rules.forbid(id(1));
    rules.forbid(id(1));
    let (hash, until) = (TokenHash::of(b"token"), Duration::from_secs(2000));
    rules.invite(hash, until, Vec::new(), Tags::new());
    assert_eq!(
        admission(&rules, 1, "x", false, "token").policy,
        Policy::Deny
    );
    assert_eq!(
        admission(&rules, 3, "x", false, "token").policy,
        Policy::Allow
    );
    rules.tidy(until);
    assert_eq!(admission(&rules, 1, "x", false, "").policy, Policy::Deny);
    assert_eq!(admission(&rules, 2, "x", false, "").policy, Policy::Allow);
    assert!(rules.permit(id(1)) && !rules.permit(id(1)));
    assert_eq!(rules, Rules::listed([id(1), id(2)]));
}

#[test]
fn what_is_no_rule_is_said_with_its_line() {
    let id = id(1).to_string();
    let wrong_id = format!("{}a", &id[..55]);
    for (line, problem) in [
        ("allow any", RuleProblem::Kind("allow".into())),
        ("connect any", RuleProblem::Decision("any".into())),
        ("connect allow", RuleProblem::Missing("allow".into())),
        ("connect allow all", RuleProblem::Who("all".into())),
        ("connect allow tag:a", RuleProblem::Who("tag:a".into())),
        ("connect allow host:a", RuleProblem::Who("host:a".into())),
        ("connect allow any as", RuleProblem::Missing("as".into())),
        ("connect allow any as A", RuleProblem::Name("A".into())),
        (
            "connect allow any as a,,b",
            RuleProblem::Name(String::new()),
        ),
        ("connect allow any as a,a", RuleProblem::Twice("a".into())),
        (
            "connect allow any tag a tag b",
            RuleProblem::Twice("tag".into()),
        ),
        (
            "connect allow any until soon",
            RuleProblem::Time("soon".into()),
        ),
        ("connect allow any to any", RuleProblem::Word("to".into())),
        ("connect allow name:", RuleProblem::Pattern(String::new())),
        ("reach allow any any", RuleProblem::Word("any".into())),
        ("reach allow any to", RuleProblem::Missing("to".into())),
        (
            "reach allow same-tag to any",
            RuleProblem::Who("same-tag".into()),
        ),
        (
            "reach allow token:a to any",
            RuleProblem::Who("token:a".into()),
        ),
        (
            "reach allow any to any label",
            RuleProblem::Missing("label".into()),
        ),
        (
            "reach allow any to any for x",
            RuleProblem::Word("for".into()),
        ),
        ("introduce allow any to any", RuleProblem::Word("to".into())),
    ] {
        let text = format!("# Rules\n\nconnect allow any # everybody\n{line}\n");
        let error = text.parse::<Rules>().unwrap_err();
        assert_eq!((error.line, &error.problem), (4, &problem), "{line}");
        assert!(error.to_string().starts_with("line 4: "), "{error}");
    }
    for word in [&wrong_id, &id[1..], &format!("token:{}", &id[1..])] {
        let error = format!("connect allow {word}").parse::<Rules>();
        let problem = error.unwrap_err().problem;
        assert!(
            matches!(problem, RuleProblem::Damaged { .. }),
            "{word}: {problem}"
        );
    }
}

#[test]
fn a_token_is_not_to_be_found_by_what_is_kept_of_it() {
    let token = Bytes::from_static(b"let me in");
    let kept = TokenHash::of(&token);
    assert_ne!(kept, TokenHash::of(b"let me on"));
    assert!(!format!("{kept:?}").contains("let me in"));
}
