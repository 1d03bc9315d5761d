//! Takes the guards away, one after the other, and sees that the test of each fails.
//!
//! ```sh
//! cargo run -p conec-tests --example guards            # all of them: a quarter of a minute each
//! cargo run -p conec-tests --example guards -- forward # those whose file or purpose has a word in it
//! ```
//!
//! It works on a copy below `target/guards`, which is built and tested there.

use std::{
    collections::BTreeSet,
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use conec_tests::guards::{GUARDS, Guard};

fn main() -> io::Result<ExitCode> {
    let filters: Vec<String> = env::args().skip(1).collect();
    let chosen = |guard: &&Guard| {
        let hit = |it: &String| guard.what.contains(it) || guard.file.contains(it);
        filters.is_empty() || filters.iter().any(hit)
    };
    let chosen: Vec<&Guard> = GUARDS.iter().filter(chosen).collect();
    let copy = Copy::of(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").as_path())?;
    let tests: BTreeSet<&str> = chosen.iter().map(|guard| guard.noticed_by).collect();
    let passed = copy.test(&tests)?;
    if let Some(test) = tests.iter().find(|&test| !passed.contains(*test)) {
        println!("with all guards, this does not pass or is not there: {test}");
        return Ok(ExitCode::FAILURE);
    }
    println!("| without the guard that | fails |");
    println!("| --- | --- |");
    let mut missed = 0;
    for guard in chosen {
        if copy.passes_without(guard)? {
            missed += 1;
            println!(
                "| {} | **nothing**, not `{}` |",
                guard.what, guard.noticed_by
            );
        } else {
            println!("| {} | `{}` |", guard.what, guard.noticed_by);
        }
    }
    Ok(match missed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// A copy of the repository, by its folder.
struct Copy(PathBuf);

impl Copy {
    fn of(origin: &Path) -> io::Result<Self> {
        let origin = origin.canonicalize()?;
        let folder = origin.join("target/guards/copy");
        let listed = Command::new("git")
            .args(["ls-files", "-z"])
            .current_dir(&origin)
            .output()?;
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        for name in String::from_utf8_lossy(&listed.stdout).split_terminator('\0') {
            let to = folder.join(name);
            if let Some(parent) = to.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::copy(origin.join(name), to)?;
        }
        Ok(Self(folder))
    }

    /// Whether the guard's test passes without it.
    fn passes_without(&self, guard: &Guard) -> io::Result<bool> {
        let file = self.0.join(guard.file);
        let whole = fs::read_to_string(&file)?;
        fs::write(&file, whole.replacen(guard.text, guard.without, 1))?;
        let passed = self.test(&BTreeSet::from([guard.noticed_by]))?;
        fs::write(&file, whole)?;
        Ok(passed.contains(guard.noticed_by))
    }

    /// Runs tests by their names. Those that pass.
    fn test(&self, names: &BTreeSet<&str>) -> io::Result<BTreeSet<String>> {
        let cargo = |last: &[&str]| {
            // Of coreutils: a run that does not end is ended with all its processes.
            let mut command = Command::new("timeout");
            command
                .args([PATIENCE, env!("CARGO"), "test", "--quiet"])
                .args(["--no-fail-fast", "-p", "conec-core", "-p", "conec-driver"])
                .args(["--lib", "-p", "conec-tests", "--test", "it"])
                .args(["--test", "handles", "--test", "memory"])
                .args(last)
                .current_dir(&self.0)
                .env("CARGO_TARGET_DIR", self.0.with_file_name("build"))
                // That a case fails is enough.
                .env("PROPTEST_MAX_SHRINK_ITERS", "0")
                .stderr(Stdio::null());
            command
        };
        if !cargo(&["--no-run"]).status()?.success() {
            return Err(io::Error::other("it does not compile"));
        }
        let run = cargo(&["--", "--format=pretty", "--exact"])
            .args(names)
            .output()?;
        Ok(String::from_utf8_lossy(&run.stdout)
            .lines()
            .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... ok"))
            .map(str::to_owned)
            .collect())
    }
}

/// How many seconds that may take.
const PATIENCE: &str = "300";
