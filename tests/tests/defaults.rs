//! The documentation of each setting says what it is by default, and says it right.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails where something is not as it must be"
)]

use std::{fmt::Debug, fs, path::Path};

use conec_core::{
    Certificate, ChannelConfig, ClientConfig, ClientLimits, CoordinatorConfig, CoordinatorLimits,
    Drain, GroupConfig, Identity, JoinConfig, KeyPin, Lossy, PathConfig, Trust,
};

#[test]
fn each_setting_says_its_default() {
    let client = ClientConfig::new(
        Identity::generate().unwrap(),
        Trust::Pin(KeyPin::from_bytes([0; 32])),
    );
    let certificate = Certificate::self_signed(["localhost"]).unwrap();
    let coordinator = CoordinatorConfig::new(certificate);
    check("config.rs", "ClientConfig", &client);
    check("config.rs", "PathConfig", &PathConfig::default());
    check("config.rs", "CoordinatorConfig", &coordinator);
    check("config.rs", "ChannelConfig", &ChannelConfig::default());
    check("limits.rs", "ClientLimits", &ClientLimits::default());
    let limits = CoordinatorLimits::default();
    check("limits.rs", "CoordinatorLimits", &limits);
    check("group/join.rs", "JoinConfig", &JoinConfig::default());
    check("group/join.rs", "GroupConfig", &GroupConfig::default());
    check("channel/lossy.rs", "Lossy", &Lossy::default());
    check("coordinator/drain.rs", "Drain", &Drain::default());
}

/// Checks what is said of the fields of a struct in a file of the core.
fn check(file: &str, name: &str, default: &impl Debug) {
    let core = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conec-core/src");
    let text = fs::read_to_string(core.join(file)).unwrap();
    let (_, fields) = text.split_once(&format!("pub struct {name} {{\n")).unwrap();
    let (fields, _) = fields.split_once("\n}").unwrap();
    let values = format!("{default:#?}");
    let mut documentation = String::new();
    let mut count = 0;
    for line in fields.lines().map(str::trim) {
        if let Some(more) = line.strip_prefix("///") {
            documentation += more;
        } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|it| it.split_once(':'))
        {
            let says = std::mem::take(&mut documentation);
            let ways = ways(value(&values, field));
            let is_said = match &ways[..] {
                [] => says.contains("default"),
                ways => ways
                    .iter()
                    .any(|way| says.contains(&format!(" {way} by default"))),
            };
            assert!(
                is_said || GIVEN.contains(&field),
                "{name}::{field}, {ways:?}:{says}"
            );
            count += 1;
        }
    }
    assert!(count > 1, "{name}");
}

/// The value of a field, in what `Debug` writes of the whole.
fn value<'a>(values: &'a str, field: &str) -> &'a str {
    let Some((_, rest)) = values.split_once(&format!("\n    {field}: ")) else {
        // It is there with a feature only.
        return "";
    };
    let rest = rest.strip_prefix("Some(\n        ").unwrap_or(rest);
    let (value, _) = rest.split_once('\n').unwrap();
    value.trim_end_matches(',')
}

/// How a number or a time can be written. Others can be said in many ways.
fn ways(value: &str) -> Vec<String> {
    if value == "0ns" {
        return vec!["0".into()];
    }
    for unit in ["ms", "s"] {
        if let Some(number) = value.strip_suffix(unit)
            && number.parse::<u64>().is_ok()
        {
            return vec![format!("{number} {unit}")];
        }
    }
    let Ok(number) = value.parse::<u64>() else {
        return Vec::new();
    };
    let mut ways = vec![number.to_string()];
    if number >= 1000 {
        ways.push(format!("{},{:03}", number / 1000, number % 1000));
    }
    for (unit, size) in [("KiB", 1 << 10), ("MiB", 1 << 20)] {
        if number > 0 && number % size == 0 {
            ways.push(format!("{} {unit}", number / size));
        }
    }
    ways
}

/// What has no default.
const GIVEN: [&str; 3] = ["identity", "trust", "certificate"];
