//! What happened in a run, or in all of them.

/// How often the things happened that the test is about.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    pub groups: u64,
    pub refused: u64,
    pub unknown: u64,
    pub failed_on_top: u64,
    pub rewrites: u64,
    pub healed: u64,
    pub failed_rewrites: u64,
    pub kills: u64,
    pub evictions: u64,
    pub power_cuts: u64,
    pub crashed_recoveries: u64,
    pub failed_recoveries: u64,
    pub torn: u64,
    pub groups_lost: u64,
    pub unknown_kept: u64,
    pub damaged_without_syncs: u64,
    pub clean_stops: u64,
    pub plain_logs: u64,
    pub stalls: u64,
}

impl Tally {
    fn figures(&mut self) -> [(&'static str, &mut u64); 19] {
        [
            ("groups", &mut self.groups),
            ("refused", &mut self.refused),
            ("unknown", &mut self.unknown),
            ("failed_on_top", &mut self.failed_on_top),
            ("rewrites", &mut self.rewrites),
            ("healed", &mut self.healed),
            ("failed_rewrites", &mut self.failed_rewrites),
            ("kills", &mut self.kills),
            ("evictions", &mut self.evictions),
            ("power_cuts", &mut self.power_cuts),
            ("crashed_recoveries", &mut self.crashed_recoveries),
            ("failed_recoveries", &mut self.failed_recoveries),
            ("torn", &mut self.torn),
            ("groups_lost", &mut self.groups_lost),
            ("unknown_kept", &mut self.unknown_kept),
            ("damaged_without_syncs", &mut self.damaged_without_syncs),
            ("clean_stops", &mut self.clean_stops),
            ("plain_logs", &mut self.plain_logs),
            ("stalls", &mut self.stalls),
        ]
    }

    pub fn add(&mut self, other: &Self) {
        let mut other = other.clone();
        for ((_, ours), (_, theirs)) in self.figures().into_iter().zip(other.figures()) {
            *ours += *theirs;
        }
    }

    /// A test in which something never happens shows nothing about it.
    pub fn assert_that_it_happened(mut self) {
        for (name, count) in self.figures() {
            assert!(*count > 0, "{name} never happened");
        }
    }
}
