//! How far back a log tells what was written when.
//!
//! A rewrite writes data without times, and a plain log may begin with commands that have none. What has no time was
//! written at the horizon at the latest: at the rewrite, or at the first time that the log holds.

use std::convert::Infallible;
use std::path::Path;

use super::reading::read_part;
use super::source::Part;
use super::text::time;
use crate::args::Moment;
use crate::exit::Failure;
use crate::persistence::batch::Batch;
use crate::persistence::format::Annotation;
use crate::persistence::replay::Verdict;
use crate::terminal::for_shell;

/// How far back a log tells what was written when.
#[derive(Debug, Clone)]
pub(super) struct Horizon {
    /// When what has no time was written at the latest, in unix seconds.
    pub(super) latest: i64,
    /// The warning for `--since` where what has no time may be of that period and is shown.
    pub(super) warning: Option<String>,
}

impl Horizon {
    /// Reads a log for its horizon, and compares with that what is asked for.
    ///
    /// # Errors
    /// The log cannot be read. Or it does not tell what it was at `until`: not any more, or since its times are out of
    /// order there.
    pub(super) fn of(
        log: &Path,
        parts: &[Part],
        since: Option<Moment>,
        until: Option<Moment>,
    ) -> Result<Self, Failure> {
        let (mut first, mut last, mut rewritten) = (None, None, None);
        let (mut untimed, mut damage) = (false, None);
        // The first time behind `until`, and the first behind that which is not.
        let (mut late, mut earlier) = (None, None);
        for part in parts {
            let Ok(recovery) = read_part(part, Some("looking for the times"), |batch| {
                untimed |= first.is_none() && begins_untimed(batch);
                for (at, seconds) in batch.times() {
                    last = Some(seconds);
                    first = first.or(last);
                    if until.is_some_and(|until| seconds > until.0) {
                        late = late.or(Some((at, seconds)));
                    } else if late.is_some() {
                        earlier = earlier.or(Some((at, seconds)));
                    }
                }
                if batch.annotations.iter().any(|a| matches!(a, Annotation::Rewritten(_))) {
                    rewritten = last;
                }
                Ok::<_, Infallible>(())
            })?;
            if let Verdict::Damaged { flaw, .. } = recovery.verdict {
                damage = damage.or(Some((part, recovery.end, flaw)));
            }
        }
        if let (Some((late, then)), Some((at, seconds))) = (late, earlier) {
            return Err(failure!(
                Negative,
                "{}: a clock was wrong: byte {late} is of {}, and byte {at}, behind it, of {}, so what it was between \
                 these times is not known; `kvred aof dump --format json` shows all times",
                log.display(),
                time(then),
                time(seconds)
            ));
        }
        let (latest, refusal, warning) = match (rewritten, first) {
            (None, _) if !untimed => return Ok(Self { latest: i64::MIN, warning: None }),
            (Some(at), _) => (
                at,
                format!("it was rewritten at {}, and what it was before that is not in it any more", time(at)),
                format!("it was rewritten at {}, and what that wrote has no times; it is shown too", time(at)),
            ),
            (None, Some(first)) => (
                first,
                format!("its commands before {} have no times, so what it was then is not known", time(first)),
                format!("its commands before {} have no times; they are shown too", time(first)),
            ),
            (None, None) => (
                i64::MAX,
                "it holds no times, so what it was then is not known".to_owned(),
                "it holds no times; all of it is shown".to_owned(),
            ),
        };
        if until.is_none_or(|until| until.0 >= latest) {
            let warning = since.filter(|since| since.0 <= latest).map(|_| warning);
            return Ok(Self { latest, warning });
        }
        Err(match damage {
            None => failure!(Negative, "{}: {refusal}", log.display()),
            // What is behind it may tell.
            Some((part, at, flaw)) => {
                failure!(
                    Damaged,
                    "{} is damaged at byte {at} ({flaw}), and what is before that does not tell what it was then; see \
                     `kvred aof check {}`",
                    part.path.display(),
                    for_shell(&part.path)
                )
            }
        })
    }
}

/// Whether no `#TS` tells of a batch's first command, if it has one.
fn begins_untimed(batch: &Batch<'_>) -> bool {
    let told_from = batch.times().next().map(|(at, _)| if batch.checksummed { batch.start } else { at });
    batch.records().next().is_some_and(|(at, _)| told_from.is_none_or(|from| at < from))
}
