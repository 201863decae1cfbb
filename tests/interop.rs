//! A client in another language, written from `docs/protocol.md` alone, against a real cluster; and that page with its
//! test vectors against that client. The client is `tests/interop`, in Python.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::{Cluster, Options, Plumbed, paxlog, skipped};

/// The client's interpreter with what it needs; if that can't be had here, says so where everybody sees it.
fn python(interop: &Path) -> Option<PathBuf> {
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("interop-venv");
    let made = Command::new("bash")
        .arg(interop.join("setup"))
        .arg(&venv)
        .stdin(Stdio::null())
        .output();
    let why = match made {
        Ok(output) if output.status.success() => return Some(venv.join("bin/python")),
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    let why = why.trim().lines().last().unwrap_or_default();
    skipped(&format!(
        "the client in Python (tests/interop): python3 with venv and aioquic can't be had here: {why}"
    ));
    None
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

/// Makes a client's certificate and profile; gives the profile.
fn issued(certs: &Path, name: &str, servers: &str) -> PathBuf {
    paxlog(["certs", "issue", "--client", name, "--dir", text(certs)])
        .args(&["--servers", servers])
        .run()
        .ok();
    certs.join(format!("{name}.toml"))
}

#[test]
fn a_client_written_from_the_page_alone_does_everything_the_page_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let interop = root.join("tests/interop");
    let Some(python) = python(&interop) else {
        return;
    };
    let mut cluster = Cluster::started_with(&Options {
        replicas: 3,
        create_on_append: true,
    });
    cluster.leader();
    let addresses: Vec<String> = cluster
        .places
        .iter()
        .map(|place| place.clients.to_string())
        .collect();
    let profile = issued(&cluster.certs(), "interop", &addresses.join(","));
    let other = cluster.dir().join("other");
    paxlog(["certs", "init", "--dir", text(&other)]).run().ok();
    let stranger = issued(&other, "stranger", &addresses.join(","));

    let mut child = Command::new(python)
        .arg("-B")
        .arg(interop.join("test_interop.py"))
        .arg(root.join("docs/protocol.md"))
        .arg(root.join("docs/protocol-vectors.json"))
        .args([&profile, &stranger])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it was there just now");
    let mut stdin = child.stdin.take().expect("piped");
    let stdout = child.stdout.take().expect("piped");
    let mut stderr = child.stderr.take().expect("piped");
    let said = std::thread::spawn(move || {
        let mut said = String::new();
        // What came before it broke is what there is.
        let _ = stderr.read_to_string(&mut said);
        said
    });
    let client = Plumbed::of(child, "tests/interop/test_interop.py");
    // Each step has a bound of its own there, so the lines end.
    let mut steps = Vec::new();
    for line in BufReader::new(stdout).lines() {
        let line = line.expect("text");
        if line == "kill the leader" {
            let leader = cluster.leader();
            cluster.kill(leader);
            writeln!(stdin, "killed {leader}").expect("it reads");
        }
        steps.push(line);
    }
    let code = client.end();
    let said = said.join().expect("no panic");
    assert_eq!(code, Some(0), "after {steps:#?}\n{said}");
    assert_eq!(steps.last().map(String::as_str), Some("all good"), "{said}");
    cluster.start_all_stopped();
    cluster.wait_all_ready();
    cluster.finish();
}
