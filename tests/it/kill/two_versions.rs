//! The release before and this one on one database: the way there, while the old ones serve, and the way back. What one of
//! them left under way, killed or stopped, the other brings to its end. (`random` and `history` mix them, too.)

use futures_util::future::join_all;

use super::{
    crowd::{Crowd, Wish},
    print, seed, shape, start_build,
    verdict::judge,
};
use crate::{
    process::{Build, Served},
    support::{App, Backend, Database, on_each_backend},
};

/// Of a hundred new keys, so many meet a fault at the gateway.
const FAULTS: usize = 25;
const CALLERS: usize = 4;
const WISHES_OF_A_CALLER: usize = 12;
/// Rewards whose first answer is lost right before a replica goes.
const IN_DOUBT: usize = 3;

use Build::{Previous, This};

/// Who serves, step by step. The first of this release migrates while the others serve.
const REPLICAS: &[&[Build]] =
    &[&[Previous, Previous], &[Previous, This], &[This, This], &[This, Previous], &[Previous, Previous], &[This, This]];
/// The same where one process serves.
const ALONE: &[&[Build]] = &[&[Previous], &[This], &[Previous], &[This], &[Previous]];

struct Fleet {
    backend: Backend,
    environment: Vec<(String, String)>,
    served: Vec<(Build, Served)>,
    /// Rewards that were not finished when somebody went.
    handed_over: i64,
}

on_each_backend! {
    async fn each_version_goes_on_with_what_the_other_began(backend: Backend) {
        let (seed, began) = (seed(), noshi::ambient::Ambient::system().monotonic());
        print(&format!("two versions, {backend:?}: NOSHI_TEST_SEED={seed}"));
        let steps = if backend == Backend::Sqlite { ALONE } else { REPLICAS };
        let mut app = App::not_started(Database::fresh(backend).await, shape()).await;
        let mut fleet = Fleet { backend, environment: app.environment().to_vec(), served: vec![], handed_over: 0 };
        fleet.served = fleet.start(steps[0]).await;
        app.mint_own_key().await;
        let schemas = schema(&app).await;
        let crowd = Crowd::new(app, seed, FAULTS);
        for (at, step) in steps.iter().enumerate() {
            fleet.change(&crowd, step, at % 2 == 0).await;
            work(&crowd, &fleet.bases()).await;
        }
        for base in fleet.bases() {
            judge(&crowd, &base).await.holds();
        }
        assert!(fleet.handed_over > 0, "nothing was under way when the versions changed");
        let told = crowd.told().classes.clone();
        print(&format!(
            "two versions, {backend:?}: {} steps in {} s from schema {schemas} to {}, {} keys, {} rewards handed over: \
             0 double, 0 lost, 0 wrong code; seen: {told:?}",
            steps.len(),
            began.elapsed().as_secs(),
            schema(&crowd.app).await,
            crowd.told().callers.len(),
            fleet.handed_over,
        ));
        for (_build, served) in fleet.served {
            assert!(tokio::task::spawn_blocking(move || served.terminate()).await.unwrap().success());
        }
        crowd.app.end().await;
    }
}

impl Fleet {
    fn bases(&self) -> Vec<String> {
        self.served.iter().map(|(_build, served)| served.base.clone()).collect()
    }

    async fn start(&self, builds: &[Build]) -> Vec<(Build, Served)> {
        let started = builds.iter().map(|build| async move {
            let served = start_build(*build, self.environment.clone()).await;
            (*build, served.unwrap_or_else(|status| panic!("{build:?} does not start: {status}")))
        });
        join_all(started).await
    }

    /// Who is not wanted goes, who is wanted and not there comes; on PostgreSQL these come first, and callers go on.
    async fn change(&mut self, crowd: &Crowd, wanted: &[Build], by_kill: bool) {
        let (mut wanted, mut stay, mut go) = (wanted.to_vec(), vec![], vec![]);
        let bases = self.bases();
        for old in self.served.drain(..) {
            match wanted.iter().position(|build| *build == old.0) {
                Some(place) if self.backend == Backend::Postgres => {
                    wanted.remove(place);
                    stay.push(old);
                }
                _ => go.push(old.1),
            }
        }
        if self.backend == Backend::Postgres {
            let ((), new) = tokio::join!(work(crowd, &bases), self.start(&wanted));
            stay.extend(new);
            self.end(crowd, go, by_kill).await;
        } else {
            self.end(crowd, go, by_kill).await;
            stay.extend(self.start(&wanted).await);
        }
        self.served = stay;
    }

    async fn end(&mut self, crowd: &Crowd, go: Vec<Served>, by_kill: bool) {
        for served in go {
            join_all((0..IN_DOUBT).map(|_| crowd.ask_in_vain(&served.base))).await;
            let ended = tokio::task::spawn_blocking(move || {
                if by_kill { served.kill() } else { assert!(served.terminate().success()) }
            });
            ended.await.unwrap();
            const DUE: &str = "SELECT COUNT(*) FROM rewards WHERE due_at IS NOT NULL";
            self.handed_over += crowd.app.database.number(DUE).await;
        }
    }
}

/// Callers, each with its wishes one after the other, at any of the replicas.
async fn work(crowd: &Crowd, bases: &[String]) {
    let caller = || async {
        for _ in 0..WISHES_OF_A_CALLER {
            let base = &bases[crowd.roll(bases.len())];
            // Half of them are about what was begun before, perhaps by another version.
            let wish = match crowd.someone(true) {
                Some(at) if crowd.percent(50) => [Wish::Again(at), Wish::Cancel(at), Wish::Reveal(at)][crowd.roll(3)],
                _ => crowd.any_wish(),
            };
            crowd.ask(base, wish).await;
        }
    };
    join_all((0..CALLERS).map(|_| caller())).await;
}

/// The last migration that the database has.
async fn schema(app: &App) -> i64 {
    app.database.number("SELECT MAX(version) FROM _sqlx_migrations").await
}
