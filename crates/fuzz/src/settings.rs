//! The two files that people write.

use std::path::Path;

use paxlog_client::Profile;
use paxlog_server::Config;

use crate::repository_file;

pub(crate) fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let parsed = Config::parse(
        text,
        "serve.toml",
        Path::new("/etc/paxlog"),
        &Default::default(),
    );
    if let Err(error) = parsed {
        assert!(!error.to_string().is_empty(), "an error says something");
    }
}

pub(crate) fn profile(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let path = Path::new("client.toml");
    match Profile::parse(text, path) {
        Ok(profile) => {
            let again = Profile::parse(&profile.to_toml(), path);
            let again = again.expect("a profile that was read can be written and read");
            assert_eq!(again.to_toml(), profile.to_toml());
        }
        Err(error) => assert!(!error.to_string().is_empty(), "an error says something"),
    }
}

pub(crate) fn config_seeds() -> Vec<Vec<u8>> {
    let sample = repository_file("docs/serve.sample.toml");
    let text = String::from_utf8(sample.clone()).expect("the sample is text");
    vec![sample, uncommented(&text)]
}

pub(crate) fn profile_seeds() -> Vec<Vec<u8>> {
    let sample = repository_file("docs/client.sample.toml");
    let text = String::from_utf8(sample.clone()).expect("the sample is text");
    vec![sample, uncommented(&text)]
}

/// Without what explains, and with the settings that the sample has commented out.
fn uncommented(text: &str) -> Vec<u8> {
    let lines = text
        .lines()
        .map(|line| line.strip_prefix("# ").unwrap_or(line));
    let settings = lines.filter(|line| line.contains(" = ") || line.starts_with('['));
    settings
        .flat_map(|line| [line, "\n"])
        .collect::<String>()
        .into_bytes()
}
