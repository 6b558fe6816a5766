//! One Apache Kafka for the whole test binary: fetched from Maven Central once, started on free ports, gone with us.
//!
//! What keeps it from outliving us is a shell between this process and the JVM: it waits for its standard input to end,
//! which happens however this process ends, then kills the JVM and removes its directory.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::wire::Wire;

const VERSION: &str = "4.3.0";
/// Generous: it takes four seconds on an idle machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) struct Kafka {
    pub(crate) bootstrap: String,
    pub(crate) took: Duration,
    /// Its end is what the shell waits for.
    _alive: ChildStdin,
    _shell: Child,
}

/// The Kafka that all tests share, started by the first that asks.
pub(crate) fn kafka() -> &'static Kafka {
    static KAFKA: OnceLock<Result<Kafka, String>> = OnceLock::new();
    match KAFKA.get_or_init(start) {
        Ok(kafka) => kafka,
        Err(problem) => panic!("the differential test needs Apache Kafka {VERSION}: {problem}"),
    }
}

fn start() -> Result<Kafka, String> {
    let begin = Instant::now();
    let target = target_directory();
    for tool in ["java", "mvn"] {
        let found = Command::new(tool).arg("-version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return Err(format!(
                "`{tool}` was not found. Install Java 17 or later and Maven: apt-get install openjdk-17-jre-headless maven"
            ));
        }
    }
    let jars = jars(&target)?;
    let directory = target.join(format!("node-{}", std::process::id()));
    fs::create_dir_all(&directory).map_err(|error| format!("creating {}: {error}", directory.display()))?;
    let (port, controller_port) = free_ports().map_err(|error| format!("no free ports: {error}"))?;
    let files = [
        ("server.properties", server_properties(&directory, port, controller_port)),
        ("log4j2.xml", LOG4J.replace("DIRECTORY", &directory.display().to_string())),
    ];
    for (name, text) in files {
        fs::write(directory.join(name), text).map_err(|error| format!("writing {name}: {error}"))?;
    }

    let mut shell = Command::new("sh")
        .args(["-c", SUPERVISOR, "sh"])
        .arg(format!("{}/*", jars.display()))
        .arg(&directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C goes to our process group: the shell outlives it for the moment that it needs.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("starting sh: {error}"))?;
    let alive = shell.stdin.take().ok_or("the shell has no standard input")?;
    let bootstrap = format!("127.0.0.1:{port}");
    while Wire::connect(&bootstrap).and_then(|mut wire| wire.ping()).is_err() {
        let log = fs::read_to_string(directory.join("kafka.log")).unwrap_or_default();
        let ended = shell.try_wait().map_err(|error| error.to_string())?.is_some() || log.contains("Kafka has ended");
        if ended || begin.elapsed() > START_TIMEOUT {
            let tail = log.lines().rev().take(20).collect::<Vec<_>>();
            let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
            drop(alive);
            drop(shell.wait());
            drop(fs::remove_dir_all(&directory));
            return Err(format!("it does not answer on {bootstrap}. The end of its log:\n{tail}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(Kafka { bootstrap, took: begin.elapsed(), _alive: alive, _shell: shell })
}

/// Runs Kafka until standard input ends. `$1`: class path, `$2`: directory. What it kills are children that it has not
/// waited for, so their ids are still theirs.
const SUPERVISOR: &str = r#"
cd "$2" || exit 1
log="-Dlog4j2.configurationFile=$2/log4j2.xml"
java -Xmx256m $log -cp "$1" kafka.tools.StorageTool format \
    -t b3JhY2xlLW9yYWNsZS0xMg -c server.properties >kafka.log 2>&1 || exit 1
java -Xms256m -Xmx768m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 $log -cp "$1" kafka.Kafka server.properties \
    >>kafka.log 2>&1 </dev/null &
kafka=$!
exec 3<&0
(read -r _ <&3; kill -9 $kafka) 2>/dev/null &
reader=$!
# Ends with the test process, or when Kafka gives up by itself.
wait $kafka
echo "$0: Kafka has ended" >>kafka.log
kill -9 $reader 2>/dev/null
read -r _ <&3
cd / && rm -rf "$2"
"#;

/// Kafka's jars under `target`, fetched once.
fn jars(target: &Path) -> Result<PathBuf, String> {
    let jars = target.join(format!("jars-{VERSION}"));
    if jars.is_dir() {
        return Ok(jars);
    }
    // Renamed when it is complete: an interrupted download is not taken for jars.
    let partial = target.join(format!("jars-{}", std::process::id()));
    let output = Command::new("mvn")
        .args(["-q", "-B", "-f"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/pom.xml"))
        .arg("dependency:copy-dependencies")
        .arg(format!("-DoutputDirectory={}", partial.display()))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("mvn: {error}"))?;
    if !output.status.success() {
        drop(fs::remove_dir_all(&partial));
        return Err(format!(
            "Maven could not fetch its jars from Maven Central:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    match fs::rename(&partial, &jars) {
        Err(error) if !jars.is_dir() => Err(format!("renaming {}: {error}", partial.display())),
        _ => Ok(jars),
    }
}

/// `target/oracle`, beside the directory that this binary was built in.
fn target_directory() -> PathBuf {
    // target/tmp: Cargo's own, for integration tests.
    let temporary = Path::new(env!("CARGO_TARGET_TMPDIR"));
    temporary.parent().unwrap_or(temporary).join("oracle")
}

fn free_ports() -> std::io::Result<(u16, u16)> {
    let (first, second) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?, TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    Ok((first.local_addr()?.port(), second.local_addr()?.port()))
}

fn server_properties(directory: &Path, port: u16, controller_port: u16) -> String {
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={}/logs
offsets.topic.replication.factor=1
offsets.topic.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
auto.create.topics.enable=false
log.cleaner.dedupe.buffer.size=10485760
log.index.size.max.bytes=65536
log.cleaner.backoff.ms=86400000
log.retention.check.interval.ms=86400000
log.initial.task.delay.ms=86400000
",
        directory.display()
    )
}

const LOG4J: &str = r#"<Configuration status="off">
  <Appenders>
    <Console name="console"><PatternLayout pattern="%d %p %m (%c)%n"/></Console>
  </Appenders>
  <Loggers><Root level="warn"><AppenderRef ref="console"/></Root></Loggers>
</Configuration>
"#;
