//! Help, completions and the manual page.

use crate::support::Home;

#[test]
fn every_command_has_help_with_an_example() {
    let home = Home::new();
    let help = home.run(&["help"]);
    let commands = help
        .succeeded()
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let commands: Vec<_> = commands
        // What goes on in the next line is further in.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(
        commands.contains(&"coordinator") && commands.contains(&"ping"),
        "{commands:?}"
    );
    for command in commands.iter().filter(|it| **it != "help") {
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
