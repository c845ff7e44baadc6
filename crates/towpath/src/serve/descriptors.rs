//! How many connections the descriptors of the process suffice for.

/// Descriptors that are for other things: the status, connections that are ending, the source, files, the
/// runtime.
const OTHERS: usize = 100;

/// The connections that are asked for, or as many as there can be: else files of the state could not be
/// written when all of them are there.
pub(crate) fn connections_below(asked: usize) -> usize {
    // Systems without this file have other ways to say it, and none of them is needed for a start.
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let Some(descriptors) = soft_limit(&limits) else { return asked };
    let possible = descriptors.saturating_sub(OTHERS).max(1);
    if possible < asked {
        tracing::warn!(
            descriptors,
            connections = possible,
            asked,
            "fewer connections than asked for: raise the limit of descriptors (ulimit -n, LimitNOFILE)"
        );
    }
    possible.min(asked)
}

/// The limit of open files that is in force.
fn soft_limit(limits: &str) -> Option<usize> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_found() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max processes             100                  200                  processes\n\
                      Max open files            1024                 524288               files\n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(soft_limit(&limits.replace("1024", "unlimited")), None);
        assert_eq!(soft_limit(""), None);
    }
}
