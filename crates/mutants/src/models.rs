//! Building the models, listing them, running one.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// No model takes so long unless it hangs, which a mutant may make it do.
const PATIENCE: Duration = Duration::from_secs(300);

/// The test program that holds the models.
pub struct Models {
    program: PathBuf,
    root: PathBuf,
    pub names: Vec<String>,
}

/// How a model ended.
pub struct Outcome {
    pub has_passed: bool,
    pub said: String,
    pub took: Duration,
}

impl Models {
    /// `None` when the tree does not compile.
    pub fn build(root: &Path, target: &Path) -> Option<Self> {
        let built = Command::new("cargo")
            .args(["test", "--release", "--lib", "--no-run", "--message-format=json"])
            .current_dir(root)
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", target)
            // Most builds differ in a line from the one before.
            .env("CARGO_INCREMENTAL", "1")
            .stderr(Stdio::null())
            .output()
            .expect("cargo runs");
        let text = String::from_utf8_lossy(&built.stdout);
        let artifacts = text.lines().filter(|line| line.contains("\"name\":\"inplace\""));
        let mut program = artifacts.filter_map(|line| {
            let (_, rest) = line.split_once("\"executable\":\"")?;
            Some(PathBuf::from(rest.split('"').next()?))
        });
        let program = program.next_back().filter(|_| built.status.success())?;
        let listed = Command::new(&program).args(["models::", "--list"]).output().ok()?;
        let names = String::from_utf8_lossy(&listed.stdout)
            .lines()
            .filter_map(|line| line.strip_suffix(": test").map(str::to_owned))
            .collect();
        Some(Self { program, root: root.to_owned(), names })
    }

    /// Runs one model, in a process of its own: a mutant may hang or abort it.
    pub fn run(&self, name: &str, environment: &[(&str, &str)]) -> Outcome {
        let start = Instant::now();
        let mut running = Command::new(&self.program)
            .args(["--exact", name, "--nocapture"])
            .current_dir(&self.root)
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the models run");
        let output = running.stdout.take().expect("piped");
        let reader =
            std::thread::spawn(move || std::io::read_to_string(output).unwrap_or_default());
        let has_passed = wait(&mut running);
        let said = reader.join().expect("reading does not panic");
        Outcome { has_passed, said, took: start.elapsed() }
    }
}

fn wait(running: &mut Child) -> bool {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        if let Some(status) = running.try_wait().expect("the child is ours") {
            return status.success();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = running.kill();
    let _ = running.wait();
    false
}

/// Runs `work` on every item, two at a time: in order of the items.
pub fn two_at_a_time<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(item) = items.get(at) else { return };
                    let result = work(item);
                    done.lock().expect("not poisoned").push((at, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("not poisoned");
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
