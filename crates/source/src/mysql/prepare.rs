//! What is asked and set on a connection before the dump (mysql-source 1.5, 1.8).

use crate::SourceConfig;
use crate::connection::Connection;
use crate::error::SourceError;
use tracing::warn;

/// Refuses a server whose binlog cannot be followed.
pub(super) async fn check(connection: &mut Connection) -> Result<(), SourceError> {
    let setup = |connection: &Connection, reason: &str| SourceError::Setup {
        address: connection.address.clone(),
        reason: reason.to_owned(),
    };
    let log_bin = connection.scalar("SELECT @@global.log_bin").await?;
    if log_bin.as_deref() == Some("0") {
        return Err(setup(
            connection,
            "the binlog is off (log_bin = 0): start the server with --log-bin and --server-id",
        ));
    }
    let format = connection.scalar("SELECT @@global.binlog_format").await;
    match format.ok().flatten().as_deref() {
        Some("STATEMENT") => {
            return Err(setup(
                connection,
                "binlog_format is STATEMENT, so there are no rows in the binlog: SET GLOBAL \
                 binlog_format = 'ROW', and reconnect the writers",
            ));
        }
        Some("MIXED") => {
            warn!(source = %connection.address, "binlog_format is MIXED: some changes come as \
                statements, without rows");
        }
        _ => {}
    }
    Ok(())
}

/// UUID where the server has one, and its id.
pub(super) async fn identity(connection: &mut Connection) -> Result<String, SourceError> {
    let id = connection.scalar("SELECT @@global.server_id").await?.unwrap_or_default();
    match connection.scalar("SELECT @@global.server_uuid").await {
        Ok(uuid) => Ok(format!("{} server_id {id}", uuid.unwrap_or_default())),
        // MariaDB and MySQL 5.5 have none.
        Err(SourceError::Server { .. }) => Ok(format!("server_id {id}")),
        Err(error) => Err(error),
    }
}

/// Session variables of a replica; a server ignores or refuses those it does not know.
pub(super) async fn session(
    connection: &mut Connection,
    config: &SourceConfig,
) -> Result<bool, SourceError> {
    let heartbeat_ns = config.heartbeat.as_nanos();
    let uuid = &config.uuid;
    let statements = [
        "SET @master_binlog_checksum = @@global.binlog_checksum, \
         @source_binlog_checksum = @@global.binlog_checksum"
            .to_owned(),
        format!("SET @slave_uuid = '{uuid}', @replica_uuid = '{uuid}'"),
        "SET @mariadb_slave_capability = 4".to_owned(),
        format!(
            "SET @master_heartbeat_period = {heartbeat_ns}, \
             @source_heartbeat_period = {heartbeat_ns}"
        ),
        "SET wait_timeout = 9999999, net_write_timeout = 7200, net_read_timeout = 7200".to_owned(),
    ];
    let semi_sync = config
        .semi_sync
        .then(|| "SET @rpl_semi_sync_slave = 1, @rpl_semi_sync_replica = 1".to_owned());
    for sql in statements.iter().chain(&semi_sync) {
        super::ignore_server_error(connection.query(sql).await)?;
    }
    let checksum = connection.scalar("SELECT @@global.binlog_checksum").await;
    match checksum {
        Ok(name) => Ok(name.is_some_and(|name| name.eq_ignore_ascii_case("crc32"))),
        Err(SourceError::Server { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A server id from the destination's name and this process, above the small numbers that people
/// give their servers.
pub(super) fn generated_id(config: &SourceConfig) -> u32 {
    let seed = config.destination.bytes().chain(config.uuid.bytes());
    let hash =
        seed.fold(0x811c_9dc5_u32, |hash, b| (hash ^ u32::from(b)).wrapping_mul(0x0100_0193));
    hash | 0x4000_0000
}
