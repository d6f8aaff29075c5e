//! What the role that serves may do on PostgreSQL, granted as the head of the overlay says.

use sqlx::Executor;

use crate::support::{App, Backend, Database, Shape};

/// The GRANTs of `k8s/overlays/postgres/kustomization.yaml`, for this role.
fn grants(role: &str) -> Vec<String> {
    let page = include_str!("../../../k8s/overlays/postgres/kustomization.yaml");
    let lines = page.lines().filter_map(|line| line.strip_prefix("#   ALTER DEFAULT PRIVILEGES "));
    lines.map(|line| format!("ALTER DEFAULT PRIVILEGES {}", line.replace("noshi_app", role))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_that_serves_buys_and_can_neither_change_nor_delete_the_ledger() {
    let database = Database::fresh(Backend::Postgres).await;
    let (base, name) = database.url().rsplit_once('/').unwrap();
    let (scheme, server) = base.split_once("://").unwrap();
    let server = server.rsplit_once('@').map_or(server, |(_user, server)| server);
    let role = format!("{name}_serving");
    let url = format!("{scheme}://{role}@{server}/{name}");
    database.execute(&format!("CREATE ROLE {role} LOGIN")).await.unwrap();
    let grants = grants(&role);
    assert_eq!(grants.len(), 2);
    for grant in grants {
        database.execute(&grant).await.unwrap();
    }
    let store = super::migrated(&database).await;
    store.close().await;
    let shape = Shape::default()
        .with("NOSHI__STORE__URL", &url)
        .with("NOSHI__STORE__MIGRATE_ON_START", false)
        .with("NOSHI__REWARDS__RETENTION_DAYS", 90);
    let mut app = App::on(database, shape).await;
    let issued = app.issue("one", "5.00").await;
    assert_eq!(issued.status, 201, "{}", issued.text);
    assert_eq!(app.cancel(issued.id()).await.json["status"], "canceled");
    let mut connection = app.database.postgres().await;
    connection.execute(sqlx::AssertSqlSafe(format!("SET ROLE {role}"))).await.unwrap();
    for refused in [
        "UPDATE ledger_entries SET note = 'other'",
        "DELETE FROM ledger_entries",
        "TRUNCATE ledger_entries",
        "ALTER TABLE ledger_entries DISABLE TRIGGER ALL",
        "UPDATE audit_records SET details = '{}'",
        "DELETE FROM audit_records",
        "TRUNCATE audit_records",
        "ALTER TABLE audit_records DISABLE TRIGGER ALL",
        "ALTER TABLE rewards DISABLE TRIGGER ALL",
        "ALTER TABLE facts DISABLE TRIGGER ALL",
        "TRUNCATE facts",
        "SET session_replication_role = replica",
        "CREATE OR REPLACE FUNCTION reward_state_has_shape() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    ] {
        let error = connection.execute(refused).await.unwrap_err().to_string();
        assert!(error.contains("permission denied") || error.contains("must be owner"), "{refused}: {error}");
    }
    // It may delete timelines for the retention. The trigger lets those of archived rewards go alone.
    let error = connection.execute("DELETE FROM facts").await.unwrap_err().to_string();
    assert!(error.contains("append-only"), "{error}");
    drop(connection);
    let whole = "SELECT COUNT(*) FROM ledger_entries WHERE note IS NULL";
    assert!(app.database.number(whole).await >= 3);
    assert_eq!(app.database.number("SELECT COUNT(*) FROM audit_records").await, 1, "the role writes them");
    app.advance(91 * 24 * 3600);
    app.until_number("SELECT COUNT(*) FROM rewards WHERE archived_at IS NOT NULL", 1).await;
    assert!(app.stop().await);
    for text in [format!("DROP OWNED BY {role}"), format!("DROP ROLE {role}")] {
        app.database.execute(&text).await.unwrap();
    }
    app.end().await;
}
