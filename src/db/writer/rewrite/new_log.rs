//! What gets into the new log: appended, synced, and copied from the live log.

use super::{Rewrite, RewriteError, failed};
use crate::persistence::LogOffset;
use crate::persistence::aof::AppendError;
use crate::persistence::batch::Batch;
use crate::persistence::format::Annotation;
use crate::persistence::reader::Event;
use crate::protocol::encode;

impl Rewrite {
    pub(super) fn append(&mut self, annotations: &[Option<Annotation>]) -> Result<(), RewriteError> {
        if self.rope.is_empty() && annotations.iter().all(Option::is_none) {
            return Ok(());
        }
        self.new.append_with(&self.rope, annotations).map_err(|e| match e {
            AppendError::Undone(error) | AppendError::Poisoned { write: error, .. } => {
                RewriteError::Io { doing: "cannot write the new log", error }
            }
        })?;
        let due = self.write_back.take_due(self.new.end());
        due.begin_write(&**self.new.file()).map_err(failed("cannot write the new log"))?;
        due.forget(&**self.new.file());
        Ok(())
    }

    pub(super) fn sync_if_due(&mut self) -> Result<(), RewriteError> {
        if self.new.end() - self.synced_at >= self.pieces.sync_every_bytes { self.sync() } else { Ok(()) }
    }

    pub(super) fn sync(&mut self) -> Result<(), RewriteError> {
        self.synced_at = self.new.end();
        self.new.sync().map_err(failed("cannot sync the new log"))
    }

    /// Copies some of the live log's batches, the records of each as one batch; `true`: all up to `limit` is copied.
    pub(super) fn copy_piece(&mut self, limit: LogOffset) -> Result<bool, RewriteError> {
        let Some(mut live) = self.live.take() else { return Ok(true) };
        live.extend(limit);
        let enough = self.copied_to.0 + self.pieces.batch_bytes as u64;
        let mut done = false;
        while self.copied_to.0 < enough {
            match live.next().map_err(failed("cannot read the log back"))? {
                Event::Batch(batch) => {
                    self.append_batch(&batch)?;
                    self.copied_to = batch.end;
                }
                Event::End if self.copied_to < limit => {
                    let reason = format!("it ends here, and had been written up to byte {limit}");
                    return Err(RewriteError::LiveLog { at: self.copied_to, reason });
                }
                Event::End => {
                    done = true;
                    break;
                }
                Event::Zeros(at) => {
                    return Err(RewriteError::LiveLog { at, reason: "zeros where a batch should be".to_owned() });
                }
                Event::Flawed { at, flaw, .. } => {
                    return Err(RewriteError::LiveLog { at, reason: flaw.to_string() });
                }
            }
        }
        self.live = Some(live);
        Ok(done)
    }

    /// Appends the records of one batch of the live log, and when it was written, as one batch.
    fn append_batch(&mut self, batch: &Batch<'_>) -> Result<(), RewriteError> {
        self.rope.clear();
        for (_, args) in batch.records() {
            encode::array(&mut self.rope.buffer, args.len());
            args.from(0).for_each(|arg| encode::bulk(&mut self.rope.buffer, arg));
        }
        let written = batch.annotations.iter().rfind(|annotation| matches!(annotation, Annotation::Timestamp(_)));
        self.append(&[written.copied()])
    }
}
