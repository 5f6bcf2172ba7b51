//! What a process used so far, as the kernel counts it.

/// What a process used so far.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Usage {
    /// User and system time.
    pub processor_seconds: f64,
    /// Largest resident set.
    pub peak_memory_bytes: u64,
}

impl Usage {
    /// Reads /proc; zeros where there is none.
    pub fn of(process: u32) -> Self {
        let read =
            |file: &str| std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap_or_default();
        let stat = read("stat");
        // Fields after the parenthesised name; utime and stime are fields 14 and 15, in ticks of 1/100 s on Linux.
        let after_name = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
        let ticks: u64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<u64>().ok()).sum();
        let status = read("status");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kibibytes: u64 = peak.and_then(|p| p.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        Usage { processor_seconds: ticks as f64 / 100.0, peak_memory_bytes: kibibytes * 1024 }
    }
}
