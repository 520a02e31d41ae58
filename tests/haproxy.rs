//! The README's HAProxy blocks in a real HAProxy, added to the `defaults` that Debian's package brings.

use crate::scene::{HEAL, Scene, TAKE_OVER};
use actors::machine::Timestamp;
use anyhow::{Context, Result, bail, ensure};
use chaos::live::{Cluster, now};
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

const BLOCKS: &str = "deploy/haproxy/witch.cfg";
/// Debian's own file: its `defaults` are what users add the blocks to.
const DEBIAN: &str = "/etc/haproxy/haproxy.cfg";
/// Debian's limit for an idle session, in the words of its file, and the one that it gets here, so that nobody has to wait for it.
const IDLE: (&str, &str) = ("50000", "1000");

/// HAProxy with Debian's configuration. None, with the reason told, where this machine has it not.
fn haproxy() -> Result<Option<PathBuf>> {
    let program =
        ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"].map(PathBuf::from).into_iter().find(|path| path.is_file());
    let found = program.filter(|_| Path::new(DEBIAN).is_file());
    if found.is_none() {
        let reason = format!("HAProxy or {DEBIAN} is missing; Debian's package haproxy has both (`scripts/setup tests` installs it)");
        // A machine that is meant to run these tests says so, and then a skip is a failure.
        ensure!(std::env::var_os("WITCH_TEST_REQUIRE_HAPROXY").is_none(), "{reason}");
        eprintln!("not run: {reason}");
    }
    Ok(found)
}

fn blocks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(BLOCKS)
}

/// HAProxy in front of a cluster; ended by the drop.
struct Proxy {
    process: Child,
    writers: u16,
    readers: u16,
    folder: TempDir,
}

impl Proxy {
    /// Starts one with Debian's defaults and the README's blocks, in which nothing but addresses and ports is changed.
    fn start(program: &Path, cluster: &Cluster) -> Result<Self> {
        let debian = fs::read_to_string(DEBIAN)?;
        // What stands before them is about the user, the folders and the daemon of the package.
        let defaults = debian.find("\ndefaults").with_context(|| format!("{DEBIAN} has no defaults"))?;
        let defaults = &debian[defaults..];
        ensure!(defaults.matches(IDLE.0).count() == 2, "{DEBIAN} limits idle sessions otherwise than it did");
        let (writers, readers) = (free_port()?, free_port()?);
        let mut blocks = fs::read_to_string(blocks())?;
        for (node, number) in cluster.nodes().iter().zip(1..) {
            let (host, port) = node.address();
            let database = node.target().config.get_ports()[0];
            let shown = format!("10.0.0.{number}:5432 check port 7000");
            ensure!(blocks.matches(&shown).count() == 2, "{BLOCKS} does not name {shown} twice");
            blocks = blocks.replace(&shown, &format!("{host}:{database} check port {port}"));
        }
        blocks = blocks.replace("bind *:5000", &format!("bind 127.0.0.1:{writers}"));
        blocks = blocks.replace("bind *:5001", &format!("bind 127.0.0.1:{readers}"));
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, format!("global\n  maxconn 200\n{}\n{blocks}", defaults.replace(IDLE.0, IDLE.1)))?;
        let log = fs::File::create(folder.path().join("log"))?;
        let process = Command::new(program)
            .args(["-db", "-f"])
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        Ok(Self { process, writers, readers, folder })
    }

    /// The first session on that port that ends at a server of the kind. A server counts as up until its checks say otherwise.
    async fn await_client(&self, port: u16, cluster: &Cluster, standby: bool) -> Result<Client> {
        let found = timeout(TAKE_OVER, async {
            loop {
                if let Ok(client) = connect(cluster, port).await
                    && is_standby(&client).await.is_ok_and(|is| is == standby)
                {
                    return client;
                }
                sleep(Duration::from_millis(50)).await;
            }
        });
        let log = || fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
        found.await.with_context(|| format!("nobody was let through port {port}; HAProxy said:\n{}", log()))
    }
}

async fn is_standby(client: &Client) -> Result<bool, tokio_postgres::Error> {
    Ok(client.query_one("SELECT pg_is_in_recovery()", &[]).await?.get(0))
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

async fn connect(cluster: &Cluster, port: u16) -> Result<Client> {
    let mut config = tokio_postgres::Config::new();
    let known = &cluster.targets()[0].config;
    config.user(known.get_user().context("a client has a name")?).password(known.get_password().context("and a password")?);
    config.host("127.0.0.1").port(port).dbname("postgres");
    let (client, connection) = timeout(Duration::from_secs(5), config.connect(NoTls)).await??;
    tokio::spawn(connection);
    Ok(client)
}

/// What a program saw that writes all the time, connects anew after every error, and knows no host but the proxy.
#[derive(Debug, Default)]
struct Seen {
    acknowledged: u32,
    refused_by_a_standby: u32,
    longest_gap: Duration,
    last: Option<Timestamp>,
}

impl Seen {
    async fn write(&mut self, client: &Client) -> Result<(), tokio_postgres::Error> {
        loop {
            let insert = client.batch_execute("INSERT INTO through_the_proxy DEFAULT VALUES");
            match timeout(Duration::from_secs(5), insert).await {
                Ok(Ok(())) => {
                    let now = now();
                    self.acknowledged += 1;
                    self.longest_gap = self.longest_gap.max(self.last.map_or(Duration::ZERO, |last| now.since(last)));
                    self.last = Some(now);
                }
                Ok(Err(error)) => {
                    self.refused_by_a_standby += u32::from(error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION));
                    return Err(error);
                }
                // Neither an answer nor an error: such a session is given up.
                Err(_) => return Ok(()),
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn write_for_ever(&mut self, cluster: &Cluster, port: u16) {
        loop {
            if let Ok(client) = connect(cluster, port).await {
                drop(self.write(&client).await);
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Aim: what the README shows is a configuration that HAProxy takes when it is added to Debian's own, and has nothing to warn of.
/// Method: `haproxy -c` on both files as they are.
#[test]
fn haproxy_takes_the_readmes_blocks_behind_debians_file_without_a_warning() -> Result<()> {
    let Some(program) = haproxy()? else { return Ok(()) };
    let output = Command::new(program).args(["-c", "-f", DEBIAN, "-f"]).arg(blocks()).output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && !said.contains("WARNING") && !said.contains("ALERT"), "HAProxy says:\n{said}");
    Ok(())
}

/// Aim: programs that know nothing but the proxy write to the primary and read from standbys, before and after the primary changes, and idle
/// sessions stay.
/// Method: HAProxy with Debian's defaults, whose limit for idle sessions is shortened, and the README's blocks; one session to each port that says
/// nothing for three times that limit; a program that writes all the time while four switchovers are made. A standby had to refuse none of its writes
/// in 20 switchovers; with the checks that the README had before (`inter 1s fall 2`) it refused 15 in 12.
#[tokio::test]
async fn the_readmes_blocks_lead_writers_to_the_primary_and_readers_to_standbys() -> Result<()> {
    let Some(program) = haproxy()? else { return Ok(()) };
    let scene = Scene::open().await?;
    let proxy = Proxy::start(&program, &scene.cluster)?;
    let writer = proxy.await_client(proxy.writers, &scene.cluster, false).await?;
    let reader = proxy.await_client(proxy.readers, &scene.cluster, true).await?;
    writer.batch_execute("CREATE TABLE through_the_proxy (at timestamptz DEFAULT now())").await?;
    sleep(Duration::from_millis(IDLE.1.parse::<u64>()? * 3)).await;
    for (client, standby) in [(&writer, false), (&reader, true)] {
        ensure!(is_standby(client).await.context("an idle session was ended")? == standby, "its server is of another kind now");
    }
    drop((writer, reader));

    let mut seen = Seen::default();
    for _ in 0..4 {
        let primary = scene.cluster.await_settled(HEAL).await?;
        let change = async {
            let answer = scene.cluster.switchover(primary, None).await?;
            ensure!(answer.status == 200, "the switchover was refused: {}", answer.body);
            sleep(Duration::from_secs(2)).await;
            Ok(())
        };
        tokio::select! {
            changed = change => changed?,
            () = seen.write_for_ever(&scene.cluster, proxy.writers) => bail!("the program that writes ended"),
        }
        let new = scene.cluster.await_settled(HEAL).await?;
        ensure!(new != primary, "the primary stayed");
        seen.last = None;
        // The former primary is a standby among others: whoever reads is led to one.
        let reader = proxy.await_client(proxy.readers, &scene.cluster, true).await?;
        reader.query_one("SELECT count(*) FROM through_the_proxy", &[]).await?;
    }
    eprintln!("through the proxy: {seen:?}");
    ensure!(seen.acknowledged > 100, "hardly anything was written: {seen:?}");
    ensure!(seen.refused_by_a_standby <= 2, "writers were led to a standby: {seen:?}");
    ensure!(seen.longest_gap < TAKE_OVER, "writers had to wait: {seen:?}");
    Ok(())
}
