//! What `/livez`, `/readyz` and `/healthz` say. It is told; it looks at nothing itself.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::StatusCode;

/// A detail is one line of a page that people read, and on the health port anybody may.
const DETAIL_LIMIT: usize = 512;

/// The server's state of health, shared by all who know a part of it.
#[derive(Debug, Default)]
pub struct Health(ArcSwap<Config>);

#[derive(Debug, Default, Eq, PartialEq)]
enum Config {
    #[default]
    Awaited,
    Loaded,
    Kept(Box<str>),
    Missing(Box<str>),
}

impl Health {
    /// The configuration in force is the file's.
    pub fn config_loaded(&self) {
        self.0.store(Arc::new(Config::Loaded));
    }

    /// The file is bad, empty or gone (`detail`); the last good configuration stays in force.
    pub fn config_kept(&self, detail: &str) {
        self.0.store(Arc::new(Config::Kept(one_line(detail))));
    }

    /// There has been no good configuration yet (`detail`): nobody can be let in.
    pub fn config_missing(&self, detail: &str) {
        self.0.store(Arc::new(Config::Missing(one_line(detail))));
    }

    /// Whether API servers should ask this server, and why not.
    pub(super) fn ready(&self) -> (StatusCode, String) {
        match self.0.load().as_ref() {
            Config::Loaded => (StatusCode::OK, "ok".to_owned()),
            Config::Kept(detail) => {
                (StatusCode::OK, format!("[-]config: keeping the last good: {detail}\nok\n"))
            }
            Config::Missing(detail) => {
                (StatusCode::SERVICE_UNAVAILABLE, format!("[-]config: {detail}\nnot ready\n"))
            }
            Config::Awaited => {
                let text = "[-]config: not read yet\nnot ready\n".to_owned();
                (StatusCode::SERVICE_UNAVAILABLE, text)
            }
        }
    }
}

fn one_line(detail: &str) -> Box<str> {
    let line = detail.chars().map(|c| if c.is_control() { ' ' } else { c });
    line.take(DETAIL_LIMIT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_follows_the_configuration() {
        let health = Health::default();
        let down = StatusCode::SERVICE_UNAVAILABLE;
        assert_eq!(health.ready(), (down, "[-]config: not read yet\nnot ready\n".to_owned()));
        health.config_missing("line 3: expected a list");
        let text = "[-]config: line 3: expected a list\nnot ready\n";
        assert_eq!(health.ready(), (down, text.to_owned()));
        health.config_loaded();
        assert_eq!(health.ready(), (StatusCode::OK, "ok".to_owned()));
        health.config_kept("a\nb\u{1b}[31m");
        let text = "[-]config: keeping the last good: a b [31m\nok\n";
        assert_eq!(health.ready(), (StatusCode::OK, text.to_owned()));
    }
}
