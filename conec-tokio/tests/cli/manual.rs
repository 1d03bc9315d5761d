//! Help, completions and the manual page.

use crate::support::Home;

#[test]
fn every_command_has_help_with_an_example() {
    let home = Home::new();
    let commands = home.commands();
    for known in ["coordinator", "ping"] {
        assert!(commands.iter().any(|it| it == known), "{commands:?}");
    }
    for command in &commands {
        let help = home.run(&[command, "--help"]);
        assert!(help.succeeded().contains("Example"), "{command}");
    }
}

#[test]
fn completions_and_the_manual_are_printed() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]);
        assert!(script.succeeded().contains("coordinator"), "{shell}");
    }
    home.run(&["completions", "no-shell"])
        .failed(2, &["no-shell"]);
    assert!(home.run(&["man"]).succeeded().contains(".TH"));
    assert!(
        home.run(&["man", "context", "ls"])
            .succeeded()
            .contains("json")
    );
    home.run(&["man", "no-command"])
        .failed(2, &["no command \"no-command\""]);
}

#[test]
fn wrong_usage_is_told_on_standard_error() {
    let home = Home::new();
    home.run(&[]).failed(2, &["Usage"]);
    home.run(&["no-command"]).failed(2, &["no-command"]);
    assert!(home.run(&["--version"]).succeeded().starts_with("conec "));
}
