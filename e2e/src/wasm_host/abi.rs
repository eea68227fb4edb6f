//! Numbers and names of the proxy-wasm ABI 0.2.1, as proxy-wasm-cpp-host defines them.

/// What a host call returns to the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Status {
    NotFound = 1,
    BadArgument = 2,
    InvalidMemoryAccess = 6,
    CasMismatch = 8,
}

/// Which header map a call means. Trailers and calls to other services are not modelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MapKind {
    Request,
    Response,
    /// A map that exists in Envoy and is never there in this host.
    Absent,
}

impl MapKind {
    /// Errors: a number that no map has.
    pub(super) fn parse(number: u32) -> Result<Self, Status> {
        match number {
            0 => Ok(Self::Request),
            2 => Ok(Self::Response),
            1 | 3..=7 => Ok(Self::Absent),
            _ => Err(Status::BadArgument),
        }
    }
}

/// Buffers that a filter without bodies reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BufferKind {
    VmConfiguration,
    PluginConfiguration,
    Absent,
}

impl BufferKind {
    pub(super) fn parse(number: u32) -> Self {
        match number {
            6 => Self::VmConfiguration,
            7 => Self::PluginConfiguration,
            _ => Self::Absent,
        }
    }
}

macro_rules! host_calls {
    ($($variant:ident = $name:literal,)*) => {
        /// A function that the host offers to filters, for counting.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum HostCall {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl HostCall {
            /// Every function offered.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// The name that filters import it by.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

host_calls! {
    AddHeaderMapValue = "proxy_add_header_map_value",
    DefineMetric = "proxy_define_metric",
    Done = "proxy_done",
    GetBufferBytes = "proxy_get_buffer_bytes",
    GetCurrentTimeNanoseconds = "proxy_get_current_time_nanoseconds",
    GetHeaderMapPairs = "proxy_get_header_map_pairs",
    GetHeaderMapValue = "proxy_get_header_map_value",
    GetLogLevel = "proxy_get_log_level",
    GetMetric = "proxy_get_metric",
    GetProperty = "proxy_get_property",
    GetSharedData = "proxy_get_shared_data",
    IncrementMetric = "proxy_increment_metric",
    Log = "proxy_log",
    RecordMetric = "proxy_record_metric",
    RemoveHeaderMapValue = "proxy_remove_header_map_value",
    ReplaceHeaderMapValue = "proxy_replace_header_map_value",
    SendLocalResponse = "proxy_send_local_response",
    SetEffectiveContext = "proxy_set_effective_context",
    SetHeaderMapPairs = "proxy_set_header_map_pairs",
    SetProperty = "proxy_set_property",
    SetSharedData = "proxy_set_shared_data",
    SetTickPeriodMilliseconds = "proxy_set_tick_period_milliseconds",
    WasiArgsGet = "args_get",
    WasiArgsSizesGet = "args_sizes_get",
    WasiClockResGet = "clock_res_get",
    WasiClockTimeGet = "clock_time_get",
    WasiEnvironGet = "environ_get",
    WasiEnvironSizesGet = "environ_sizes_get",
    WasiFdWrite = "fd_write",
    WasiProcExit = "proc_exit",
    WasiRandomGet = "random_get",
    WasiSchedYield = "sched_yield",
}
