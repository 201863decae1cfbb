//! `paxlog certs init|issue`: a private authority, and certificates for replicas and clients.

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, Subcommand};
use paxlog_client::Profile;
use paxlog_quic::{CertificateAuthority, CertsError, Issued};
use paxlog_server::config::{format_cluster_id, parse_cluster_id};
use serde_json::json;

use crate::cli::Global;
use crate::failure::Failure;
use crate::output::{self, Format};

#[derive(Subcommand)]
pub(crate) enum CertsCommand {
    /// Make a cluster's certificate authority, once; prints the cluster's id.
    Init(InitArgs),
    /// Issue a certificate to a replica, a client or an administrator.
    Issue(IssueArgs),
}

#[derive(Args)]
#[command(after_help = "Examples:
  paxlog certs init --dir certs
  paxlog certs init --dir certs --output json | jq -r .cluster

Writes ca.pem, which every replica and client gets, and ca.key, which issues certificates: keep it offline.")]
pub(crate) struct InitArgs {
    /// Where to write; made if it does not exist.
    #[arg(long, default_value = "certs", value_name = "DIR")]
    dir: PathBuf,
    /// The cluster's id, 32 hex digits, instead of a random one.
    #[arg(long, value_name = "ID", value_parser = parse_cluster_id)]
    cluster: Option<u128>,
}

#[derive(Args)]
#[command(group = ArgGroup::new("whom").required(true).args(["replica", "client", "admin", "print_sample"]))]
#[command(after_help = "Examples:
  paxlog certs issue --replica 1                                         r1.pem and r1.key
  paxlog certs issue --client web --servers 10.0.0.1:7400,10.0.0.2:7400  web.pem, web.key and a profile, web.toml
  paxlog certs issue --admin root
  paxlog certs issue --print-sample                                      a client profile, every key explained

A replica's certificate binds its id: no other replica can use it. Nothing is ever overwritten.")]
pub(crate) struct IssueArgs {
    /// Where the authority is, and where to write.
    #[arg(long, default_value = "certs", value_name = "DIR")]
    dir: PathBuf,
    /// For the replica with this id.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    replica: Option<u16>,
    /// For a client of this name.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// For an administrator of this name.
    #[arg(long, value_name = "NAME")]
    admin: Option<String>,
    /// Print a client profile with every key explained, and do nothing else.
    #[arg(long)]
    print_sample: bool,
    /// Write a client profile too, for these replicas.
    #[arg(
        long,
        value_name = "ADDRESS,…",
        value_delimiter = ',',
        conflicts_with = "replica"
    )]
    servers: Vec<String>,
}

pub(crate) fn certs(global: &Global, command: CertsCommand) -> Result<(), Failure> {
    match command {
        CertsCommand::Init(args) => init(global, args),
        CertsCommand::Issue(args) => issue(global, args),
    }
}

fn init(global: &Global, args: InitArgs) -> Result<(), Failure> {
    let authority = Authority::create(&args.dir, args.cluster)?;
    let cluster = format_cluster_id(authority.cluster());
    let (ca, key) = (args.dir.join("ca.pem"), args.dir.join("ca.key"));
    match global.output {
        Format::Json => output::print_json(&json!({"cluster": cluster, "ca": ca, "ca_key": key})),
        Format::Text => output::print_line(&format!(
            "cluster = \"{cluster}\"\nwrote {} (for every replica and client) and {} (issues certificates: keep it offline)",
            ca.display(),
            key.display()
        )),
    }
}

fn issue(global: &Global, args: IssueArgs) -> Result<(), Failure> {
    if args.print_sample {
        return output::print_sample(global.output, paxlog_client::PROFILE_SAMPLE);
    }
    let authority = Authority::load(&args.dir)?;
    let (name, issued) = match (args.replica, args.client, args.admin) {
        (Some(id), _, _) => (format!("r{id}"), authority.inner.issue_replica(id)),
        (_, Some(name), _) => (name.clone(), authority.inner.issue_client(&name)),
        (_, _, Some(name)) => (name.clone(), authority.inner.issue_admin(&name)),
        (None, None, None) => {
            return Err(Failure::usage("name whom the certificate is for").hint("see --help"));
        }
    };
    let (cert, key) = (
        args.dir.join(format!("{name}.pem")),
        args.dir.join(format!("{name}.key")),
    );
    issued
        .and_then(|issued| issued.save(&cert, &key))
        .map_err(failure)?;
    let mut wrote = vec![cert.clone(), key.clone()];
    if !args.servers.is_empty() {
        let profile = Profile {
            cluster: authority.cluster(),
            servers: args.servers,
            ca: "ca.pem".into(),
            cert: format!("{name}.pem").into(),
            key: format!("{name}.key").into(),
        };
        let path = args.dir.join(format!("{name}.toml"));
        write_new(&path, &profile.to_toml())?;
        wrote.push(path);
    }
    match global.output {
        Format::Json => output::print_json(&json!({
            "cluster": format_cluster_id(authority.cluster()),
            "cert": cert,
            "key": key,
            "profile": wrote.get(2),
        })),
        Format::Text => {
            let wrote: Vec<String> = wrote
                .iter()
                .map(|path| path.display().to_string())
                .collect();
            output::print_line(&format!("wrote {}", wrote.join(", ")))
        }
    }
}

/// A cluster's authority in its directory.
pub(crate) struct Authority {
    inner: CertificateAuthority,
    dir: PathBuf,
}

impl Authority {
    /// Makes an authority and its directory; refuses where there is one.
    pub(crate) fn create(dir: &Path, cluster: Option<u128>) -> Result<Authority, Failure> {
        if dir.join("ca.pem").exists() || dir.join("ca.key").exists() {
            return Err(Failure::usage(format!("{} holds a certificate authority already", dir.display()))
                .hint("`paxlog certs issue` issues certificates of it; name another directory for another cluster"));
        }
        std::fs::create_dir_all(dir).map_err(|error| {
            Failure::local_io(format!(
                "cannot make the directory {}: {error}",
                dir.display()
            ))
        })?;
        let inner =
            CertificateAuthority::make(cluster.map_or_else(random_id, Ok)?).map_err(failure)?;
        inner.save(dir).map_err(failure)?;
        Ok(Authority {
            inner,
            dir: dir.to_owned(),
        })
    }

    /// Loads the authority of a directory.
    pub(crate) fn load(dir: &Path) -> Result<Authority, Failure> {
        let inner = CertificateAuthority::load(dir).map_err(|error| {
            failure(error).hint("`paxlog certs init` makes a certificate authority")
        })?;
        Ok(Authority {
            inner,
            dir: dir.to_owned(),
        })
    }

    pub(crate) fn cluster(&self) -> u128 {
        self.inner.cluster()
    }

    /// The certificate and key of a replica, issued unless they are there.
    pub(crate) fn replica_files(&self, id: u16) -> Result<(PathBuf, PathBuf), Failure> {
        self.files(&format!("r{id}"), |authority| authority.issue_replica(id))
    }

    /// The certificate and key of a client, issued unless they are there.
    pub(crate) fn client_files(&self, name: &str) -> Result<(PathBuf, PathBuf), Failure> {
        self.files(name, |authority| authority.issue_client(name))
    }

    fn files(
        &self,
        name: &str,
        issue: impl FnOnce(&CertificateAuthority) -> Result<Issued, CertsError>,
    ) -> Result<(PathBuf, PathBuf), Failure> {
        let (cert, key) = (
            self.dir.join(format!("{name}.pem")),
            self.dir.join(format!("{name}.key")),
        );
        // The certificate is written last: where it is, its key is whole.
        if !cert.exists() {
            if key.exists() {
                std::fs::remove_file(&key).map_err(|error| {
                    Failure::local_io(format!(
                        "cannot remove the half-made {}: {error}",
                        key.display()
                    ))
                })?;
            }
            issue(&self.inner)
                .and_then(|issued| issued.save(&cert, &key))
                .map_err(failure)?;
        }
        Ok((cert, key))
    }
}

/// What is wrong with a certificate is wrong before anything was sent.
pub(crate) fn failure(error: CertsError) -> Failure {
    Failure::usage(error.to_string())
}

fn write_new(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write;
    let cannot = |error| Failure::usage(format!("cannot write {}: {error}", path.display()));
    let mut file = std::fs::File::create_new(path).map_err(cannot)?;
    file.write_all(text.as_bytes()).map_err(cannot)
}

/// 128 bits from the system.
fn random_id() -> Result<u128, Failure> {
    use std::io::Read;
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| Failure::local_io(format!("cannot draw a random id: {error}")))?;
    Ok(u128::from_le_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn an_authority_is_made_once_and_issues_after_it_was_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("certs");
        let made = Authority::create(&dir, Some(42)).unwrap();
        assert_eq!(made.cluster(), 42);
        assert_eq!(
            Authority::create(&dir, None).err().unwrap().exit,
            Exit::Usage
        );
        let loaded = Authority::load(&dir).unwrap();
        assert_eq!(loaded.cluster(), 42);
        let (cert, key) = loaded.replica_files(1).unwrap();
        let before = std::fs::read(&cert).unwrap();
        assert_eq!(loaded.replica_files(1).unwrap(), (cert.clone(), key));
        assert_eq!(std::fs::read(&cert).unwrap(), before, "issued once");
        assert_eq!(
            Authority::load(Path::new("/nowhere")).err().unwrap().exit,
            Exit::Usage
        );
    }
}
