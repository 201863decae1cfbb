//! Moving a log that has no threads: for simulators and tests, see [`Driver::Caller`](crate::Driver::Caller).

use super::Wal;
use crate::shared::Task;

impl Wal {
    /// Does all there is to do: prepares, writes and syncs until nothing is left. Whether anything was
    /// done. For logs with [`Driver::Caller`](crate::Driver::Caller), as the methods below.
    pub fn drive(&self) -> bool {
        let mut moved = false;
        while self.drive_prepare() | self.drive_write() | self.drive_sync() {
            moved = true;
        }
        moved
    }

    /// Activates the next segment or makes a spare, if one is missing. Whether it did.
    pub fn drive_prepare(&self) -> bool {
        self.shared.prepare_step().unwrap_or(false)
    }

    /// One write, if there is one to do. Whether there was.
    pub fn drive_write(&self) -> bool {
        self.begin_write().map(Task::run).is_some()
    }

    /// One sync, if there is one to do. Whether there was.
    pub fn drive_sync(&self) -> bool {
        self.begin_sync().map(Task::run).is_some()
    }

    /// Begins the next write. `None` when one is out already, nothing waits, or the segment it goes
    /// to is not there yet.
    pub fn begin_write(&self) -> Option<Task> {
        Task::write(&self.shared)
    }

    /// Begins the next sync. `None` when one is out already or nothing waits.
    pub fn begin_sync(&self) -> Option<Task> {
        Task::sync(&self.shared)
    }

    /// Appends the MARK of an idle log (all is durable), if its last frames are not covered by one.
    /// Whether it did.
    pub fn mark(&self) -> bool {
        let mut inner = self.shared.inner();
        let marked = inner.core.mark();
        if marked {
            self.shared.appended(&mut inner);
            self.shared.wake(inner);
        }
        marked
    }
}
