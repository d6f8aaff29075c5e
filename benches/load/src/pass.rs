//! A pass: one subject on a new database, with a new gateway, from its start to its end and the check of the books.

mod overload;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    books::Heard,
    database::{Backend, Database, Server},
    drive::{Load, Shape, Tally},
    failure::{Doing, Failure},
    figures::{Figures, Loaded, Measured, Series},
    gateway::Gateway,
    machine::{Cores, float, resident_kb, usage, usage_of_family},
    options::Options,
    relay::{Relay, Wire},
    subject::{Served, Subject, Surroundings},
};

/// How long a subject is left alone before its idle memory is read, and after the load.
const REST: Duration = Duration::from_secs(1);
const SAMPLE: Duration = Duration::from_millis(100);
const PAGE: f64 = 4096.0;
/// Rewards before those that are counted: connections are made, statements are prepared.
const COUNT_WARM: u64 = 200;

/// What all passes share.
pub(crate) struct World {
    pub(crate) options: Options,
    pub(crate) cores: Cores,
    pub(crate) server: Option<Server>,
    pub(crate) folder: PathBuf,
    /// Where logs go.
    pub(crate) logs: PathBuf,
    /// The library that counts, where there is a compiler for it.
    pub(crate) counter: Option<PathBuf>,
}

/// What a pass is about.
#[derive(Clone, Copy)]
pub(crate) struct Pass<'a> {
    pub(crate) world: &'a World,
    pub(crate) subject: &'a Subject,
    pub(crate) backend: Backend,
    /// Of which there is one in a run.
    pub(crate) number: usize,
}

/// Figures of one load of a pass.
pub(crate) struct Reading {
    load: Loaded,
    figures: Figures,
    tally: Tally,
    delay_us: u64,
}

impl Reading {
    /// Puts it to those of the same series.
    pub(crate) fn into(self, all: &mut Vec<Measured>, subject: &str, database: Backend) {
        let series = Series { database, load: self.load, subject: subject.to_owned() };
        let latencies = Some(&self.tally.latencies);
        if let Some(measured) = all.iter_mut().find(|one| one.series == series) {
            return measured.add(self.figures, latencies, self.delay_us);
        }
        let mut measured = Measured::new(series);
        measured.add(self.figures, latencies, self.delay_us);
        all.push(measured);
    }
}

/// The library that counts allocations and syncs. `None` where there is no compiler.
pub(crate) fn build_counter(folder: &Path) -> Option<PathBuf> {
    let (source, library) = (folder.join("count.c"), folder.join("count.so"));
    fs::write(&source, include_str!("../count.c")).ok()?;
    let done = Command::new("cc").args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output().ok()?;
    done.status.success().then_some(library)
}

impl Pass<'_> {
    /// Measures both loads. Fails where the books disagree.
    pub(crate) async fn measure(&self) -> Result<Vec<Reading>, Failure> {
        self.with_database(None, async |stage, database| {
            let options = &self.world.options;
            let empty = database.bytes(self.world.server.as_ref()).await?;
            let served = stage.serve(&database.url)?;
            tokio::time::sleep(REST).await;
            let idle = resident_kb(served.process.pid());
            let saturation = Loaded::Saturation { callers: options.callers };
            let mut readings = vec![self.window(&served, saturation).await?];
            if options.rate > 0 {
                let delay = Duration::from_millis(options.delay);
                stage.around.gateway.delay(delay).await?;
                let open = Loaded::Open { rate: options.rate, gateway_ms: options.delay };
                readings.push(self.window(&served, open).await?);
                stage.around.gateway.delay(Duration::ZERO).await?;
            }
            tokio::time::sleep(REST).await;
            let afterwards = resident_kb(served.process.pid());
            served.process.stop()?;
            let heard = self.settle(&readings, stage, database).await?;
            let stored = (database.bytes(self.world.server.as_ref()).await? - empty) / float(heard.issued());
            for reading in &mut readings {
                reading.figures.extend([
                    ("memory_idle_kb", idle),
                    ("memory_afterwards_kb", afterwards),
                    ("stored_bytes", stored),
                ]);
            }
            Ok(readings)
        })
        .await
    }

    /// Counts what each of so many rewards costs, one caller or many at a time. It is no measure of time: what counts slows down.
    pub(crate) async fn count(&self, callers: usize) -> Result<Vec<Reading>, Failure> {
        let counts = self.world.folder.join("counts");
        fs::write(&counts, [0_u8; 16]).doing("the file of counts")?;
        let counting = self.world.counter.clone().map(|library| (library, counts.clone()));
        let counts_there = counting.is_some();
        self.with_database(counting, async |stage, database| {
            let syncs = self.syncs_of_server().await;
            let wire = Arc::new(Wire::default());
            let relay = match &self.server() {
                Some(server) => Some(Relay::counting(server.authority.clone(), Arc::clone(&wire)).await?),
                None => None,
            };
            let url = match (self.server(), &relay) {
                (Some(server), Some(relay)) => database.url_over(&server.authority, &relay.address.to_string()),
                _file => database.url.clone(),
            };
            let served = stage.serve(&url)?;
            let load = Loaded::Counted { callers };
            let warm = self.counted(&served, callers, COUNT_WARM, "warm").await?;
            let mut figures = Figures::new();
            if relay.is_some() {
                let (began, before) = (Instant::now(), wire.counted());
                tokio::time::sleep(REST * 2).await;
                let (seconds, now) = (began.elapsed().as_secs_f64(), wire.counted());
                figures.insert("idle_statements", float(now.statements - before.statements) / seconds);
                figures.insert("idle_round_trips", float(now.round_trips - before.round_trips) / seconds);
            }
            let before = (wire.counted(), read_counts(&counts));
            let tally = self.counted(&served, callers, self.world.options.count, "counted").await?;
            let after = (wire.counted(), read_counts(&counts));
            served.process.stop()?;
            let issued = float(tally.answers.get("201").copied().unwrap_or(0).max(1));
            if relay.is_some() {
                figures.extend([
                    ("statements", float(after.0.statements - before.0.statements) / issued),
                    ("prepared", float(after.0.prepared - before.0.prepared) / issued),
                    ("transactions", float(after.0.transactions - before.0.transactions) / issued),
                    ("round_trips", float(after.0.round_trips - before.0.round_trips) / issued),
                ]);
            }
            if counts_there {
                figures.insert("allocations", float(after.1.0 - before.1.0) / issued);
                figures.insert("service_syncs", float(after.1.1 - before.1.1) / issued);
            }
            let readings = [warm, tally].map(|tally| Reading { load, figures: Figures::new(), tally, delay_us: 0 });
            let heard = self.settle(&readings, stage, database).await?;
            if let (Some(before), Some(after)) = (syncs, self.syncs_of_server().await) {
                figures.insert("database_syncs", (after - before) / float(heard.issued()));
            }
            let [_warm, counted] = readings;
            Ok(vec![Reading { figures, ..counted }])
        })
        .await
    }

    fn server(&self) -> Option<&Server> {
        self.world.server.as_ref().filter(|_server| self.backend == Backend::Postgres)
    }

    async fn syncs_of_server(&self) -> Option<f64> {
        self.server()?.log_syncs().await
    }

    /// So many rewards, whatever time they take.
    async fn counted(&self, served: &Served, callers: usize, count: u64, name: &str) -> Result<Tally, Failure> {
        Load::start(Shape::Count(callers, count), served.target.clone(), name)?.finish().await
    }

    /// One load: what comes before the window warms up and is not in the figures.
    async fn window(&self, served: &Served, load: Loaded) -> Result<Reading, Failure> {
        let (options, pid) = (&self.world.options, served.process.pid());
        let (shape, name, delay_us) = match load {
            Loaded::Saturation { callers } | Loaded::Counted { callers } => (Shape::Closed(callers), "closed", 0),
            Loaded::Open { rate, gateway_ms } => (Shape::Open(rate), "open", gateway_ms * 1_000),
            Loaded::Overload { .. } => return Err(Failure::new("an overload has a window of its own")),
        };
        let on_the_way = Load::start(shape, served.target.clone(), name)?;
        tokio::time::sleep(Duration::from_secs(options.warm_up)).await;
        let postmaster = self.server().and_then(|server| server.postmaster);
        let log = self.log_bytes().await?;
        let before = (usage(pid), postmaster.map(usage_of_family));
        on_the_way.begin();
        let (began, mut loaded) = (Instant::now(), 0.0_f64);
        while began.elapsed() < Duration::from_secs(options.seconds) {
            tokio::time::sleep(SAMPLE).await;
            loaded = loaded.max(resident_kb(pid));
        }
        on_the_way.end();
        let seconds = began.elapsed().as_secs_f64();
        let after = (usage(pid), postmaster.map(usage_of_family));
        let log = self.log_bytes().await?.zip(log).map(|(now, then)| now - then);
        let tally = on_the_way.finish().await?;
        let issued = float(tally.issued.max(1));
        let others: u64 =
            tally.answers.iter().filter(|(status, _count)| *status != "201").map(|(_status, count)| count).sum();
        let own = after.0.since(before.0);
        let database = after.1.zip(before.1).map(|(now, then)| now.since(then));
        let mut figures = Figures::from([
            ("rewards_per_second", float(tally.issued) / seconds),
            ("not_issued", float(others)),
            ("service_cpu_ms", own.cpu_ms / issued),
            ("memory_loaded_kb", loaded),
        ]);
        let mut add = |key: &'static str, value: Option<f64>| figures.extend(value.map(|value| (key, value / issued)));
        add("service_pages", own.written.map(|bytes| bytes / PAGE));
        add("database_cpu_ms", database.map(|database| database.cpu_ms));
        add("database_pages", database.and_then(|database| database.written).map(|bytes| bytes / PAGE));
        add("log_bytes", log);
        Ok(Reading { load, figures, tally, delay_us })
    }

    async fn log_bytes(&self) -> Result<Option<f64>, Failure> {
        match self.server() {
            Some(server) => server.log_bytes().await.map(Some),
            None => Ok(None),
        }
    }

    /// Compares the books. The subject has ended.
    async fn settle(&self, readings: &[Reading], stage: &Stage<'_>, database: &Database) -> Result<Heard, Failure> {
        let mut heard = Heard::default();
        readings.iter().for_each(|reading| heard.add(&reading.tally));
        let books = self.subject.books(database, &stage.around).await?;
        heard.agree(&books, &stage.around.gateway.sold().await?)?;
        Ok(heard)
    }

    /// Runs a pass on a database of its own, with a gateway of its own, and takes both away.
    async fn with_database<'a, T>(
        &'a self,
        counting: Option<(PathBuf, PathBuf)>,
        run: impl AsyncFnOnce(&Stage<'_>, &Database) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let world = self.world;
        let folder = world.folder.join(format!("pass-{}", self.number));
        fs::create_dir_all(&folder).doing("the folder of a pass")?;
        let gateway = Gateway::start(&world.options.gateway, world.options.tls, &folder, &world.cores)?;
        let proxy = if world.options.tls { Some(Relay::proxy(gateway.address.clone()).await?) } else { None };
        let database = match self.server() {
            Some(server) => server.create(&format!("noshi_load_{}_{}", std::process::id(), self.number)).await?,
            None => Database::file(&folder),
        };
        let around = Surroundings {
            folder: folder.clone(),
            log: world.logs.join(format!("service-{}.log", self.number)),
            cores: &world.cores,
            gateway: &gateway,
            proxy: proxy.as_ref(),
            settings: &world.options.settings,
            counting,
        };
        let log = around.log.clone();
        let result = match self.subject.prepare(&database, &around) {
            Ok(key) => run(&Stage { subject: self.subject, key, around }, &database).await,
            Err(failure) => Err(failure),
        };
        database.drop_it(self.server()).await?;
        let result = result?;
        gateway.stop()?;
        fs::remove_dir_all(&folder).doing("the folder of a pass")?;
        fs::remove_file(log).doing("the log of a pass")?;
        Ok(result)
    }
}

/// A subject that can be started.
struct Stage<'a> {
    subject: &'a Subject,
    key: Option<String>,
    around: Surroundings<'a>,
}

impl Stage<'_> {
    fn serve(&self, url: &str) -> Result<Served, Failure> {
        self.subject.start(url, self.key.clone(), &self.around)
    }
}

/// Allocations and syncs.
fn read_counts(file: &Path) -> (u64, u64) {
    let bytes = fs::read(file).unwrap_or_default();
    let number =
        |at: usize| bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map_or(0, u64::from_ne_bytes);
    (number(0), number(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_counts_what_a_program_allocates_and_makes_durable() {
        let folder = tempfile::tempdir().unwrap();
        let library = build_counter(folder.path()).unwrap();
        let counts = folder.path().join("counts");
        fs::write(&counts, [0_u8; 16]).unwrap();
        let sync = |file: &Path| {
            let status = Command::new("sync")
                .args(["-d".as_ref(), file.as_os_str()])
                .env("LD_PRELOAD", &library)
                .env("NOSHI_BENCH_COUNTS", &counts)
                .status();
            assert!(status.unwrap().success());
            read_counts(&counts)
        };
        let (once, twice) = (sync(&counts), sync(&counts));
        assert_eq!((once.1, twice.1), (1, 2));
        assert!(once.0 > 0 && twice.0 == 2 * once.0, "{once:?} {twice:?}");
    }
}
