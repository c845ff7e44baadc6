//! `--rds-...`: where the binlog files are that the server has purged.

use std::path::{Path, PathBuf};

use clap::Args;
use towpath_source::{ArchiveConfig, SourceUrl};

use crate::report::Failure;

#[derive(Debug, Args)]
pub(super) struct ArchiveArguments {
    /// Read binlogs that the source has purged from the archive of this RDS instance. Needs
    /// --rds-access-key and --rds-secret-key. Canal's settings of the same meaning are read from the
    /// environment, too (canal.instance.rds.instanceId, canal.aliyun.accessKey and their variants).
    #[arg(long, value_name = "ID")]
    rds_instance: Option<String>,
    /// Id of the access key that may call DescribeBinlogFiles.
    #[arg(long, value_name = "ID", env = "TOWPATH_RDS_ACCESS_KEY", hide_env_values = true)]
    rds_access_key: Option<String>,
    /// Its secret; better given by the environment, where other users do not see it.
    #[arg(long, value_name = "SECRET", env = "TOWPATH_RDS_SECRET_KEY", hide_env_values = true)]
    rds_secret_key: Option<String>,
    /// The service that lists the files; `https://rds.aliyuncs.com` if absent.
    #[arg(long, value_name = "URL")]
    rds_endpoint: Option<String>,
    /// PEM file with the authorities trusted for it; the system's if absent.
    #[arg(long, value_name = "FILE")]
    rds_ca: Option<PathBuf>,
    /// Folder for files on their way; `rds` in the destination's part of --state if absent. Nothing
    /// is removed from it but what was downloaded into it.
    #[arg(long, value_name = "FOLDER")]
    rds_folder: Option<PathBuf>,
    /// Files that are downloaded ahead of the one that is read.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    rds_ahead: u16,
}

/// One of Canal's settings, where its image has them.
#[expect(clippy::disallowed_methods, reason = "part of the command line, as main is")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl ArchiveArguments {
    /// The archive, if one is named.
    pub(super) fn read(
        self,
        source: &str,
        state: &Path,
        destination: &str,
    ) -> Result<Option<ArchiveConfig>, Failure> {
        let folder = self.rds_folder.unwrap_or_else(|| state.join(destination).join("rds"));
        let given = |name: &str| match name {
            "canal.instance.rds.instanceId" => self.rds_instance.clone(),
            "canal.instance.rds.accesskey" => self.rds_access_key.clone(),
            "canal.instance.rds.secretkey" => self.rds_secret_key.clone(),
            _ => None,
        };
        let setting = |name: &str| given(name).or_else(|| environment(name));
        let archive = ArchiveConfig::from_settings(folder, setting).map_err(|missing| {
            Failure::of(&format!(
                "an RDS instance is named without {missing}: give --rds-access-key and \
                 --rds-secret-key, or TOWPATH_RDS_ACCESS_KEY and TOWPATH_RDS_SECRET_KEY in the \
                 environment"
            ))
        })?;
        let Some(mut archive) = archive else {
            if self.rds_endpoint.is_some() || self.rds_ca.is_some() {
                return Err(Failure::of("--rds-endpoint and --rds-ca need --rds-instance"));
            }
            return Ok(None);
        };
        archive.ahead_count = self.rds_ahead.into();
        archive.ca = self.rds_ca;
        if let Some(endpoint) = self.rds_endpoint {
            if !endpoint.starts_with("https://") && !endpoint.starts_with("http://") {
                return Err(Failure::of(&format!(
                    "--rds-endpoint {endpoint}: expected https://HOST or http://HOST"
                )));
            }
            archive.endpoint = endpoint;
        }
        if !SourceUrl::is_meant(source) {
            return Err(Failure::of("an RDS instance is named, but --source is a file or folder"));
        }
        Ok(Some(archive))
    }
}
