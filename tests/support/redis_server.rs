//! Real Redis servers on this machine, for a test each.
#![allow(dead_code, reason = "every test program uses a part of it")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Says whether there is a `redis-server`. Where there has to be one, by `INPLACE_REDIS=required`, none is a failure.
pub fn is_installed() -> bool {
    let found = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    let required = std::env::var("INPLACE_REDIS").is_ok_and(|value| value == "required");
    assert!(!required, "no redis-server: install it (Debian: apt-get install redis-server)");
    eprintln!("NOT TESTED: no redis-server on this machine (Debian: apt-get install redis-server)");
    false
}

/// A port nobody listens on just now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server with a directory of its own; it ends with this value, and with the thread that started it.
pub struct RedisServer {
    child: Child,
    pub port: u16,
    pub directory: PathBuf,
    options: Vec<String>,
    /// Whether it answers in plain text on its port.
    is_plain: bool,
}

impl RedisServer {
    pub fn start(options: &[&str]) -> Self {
        Self::start_on(free_port(), options)
    }

    /// Starts a server; where another program was quicker to take the port, on another one.
    pub fn start_on(port: u16, options: &[&str]) -> Self {
        let directory =
            std::env::temp_dir().join(format!("inplace-redis-{}-{port}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let options: Vec<String> = options.iter().map(|option| (*option).to_owned()).collect();
        let is_plain = !options.iter().any(|option| option == "--tls-port");
        let child = spawn(port, &directory, &options);
        let mut server = Self { child, port, directory, options, is_plain };
        if server.is_up() {
            return server;
        }
        let options: Vec<&str> = server.options.iter().map(String::as_str).collect();
        Self::start_on(free_port(), &options)
    }

    /// Whether it accepts connections, after a while.
    fn is_up(&mut self) -> bool {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(20) {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let is_up = match self.is_plain {
                true => self.try_ask("PING").is_some_and(|answer| answer.starts_with(['+', '-'])),
                false => TcpStream::connect(("127.0.0.1", self.port)).is_ok(),
            };
            if is_up {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("the redis-server on port {} does not come up", self.port);
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The first line of its answer to a line.
    pub fn ask(&self, line: &str) -> String {
        self.try_ask(line).expect("the server answers")
    }

    fn try_ask(&self, line: &str) -> Option<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{line}\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        BufReader::new(stream).read_line(&mut answer).ok()?;
        (!answer.is_empty()).then(|| answer.trim_end().to_owned())
    }

    /// Kills it. What was not saved is lost.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again on the same port, empty.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(self.port, &self.directory, &self.options);
        assert!(self.is_up(), "the port was taken by another program");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn spawn(port: u16, directory: &Path, options: &[String]) -> Child {
    let plain_port = if options.iter().any(|option| option == "--tls-port") { 0 } else { port };
    let mut command = Command::new("redis-server");
    command
        .args(["--bind", "127.0.0.1", "--port", &plain_port.to_string()])
        .args(["--save", "", "--appendonly", "no", "--dir"])
        .arg(directory)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    // SAFETY: the call is allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command.spawn().unwrap()
}
