//! [`blocking_methods`]: methods that do what the asynchronous client's do, on the calling thread.

/// Writes methods of a blocking client that wraps an asynchronous one in `inner`, with its `background` beside it. Behind
/// `waits`, those that block where the other's are awaited; behind `calls`, those that never wait.
macro_rules! blocking_methods {
    (
        $client:literal;
        waits { $($(#[$wait_doc:meta])* fn $wait:ident($waiter:ident: $waiter_type:ty $(, $wait_arg:ident: $wait_arg_type:ty)* $(,)?) $(-> $wait_output:ty)?;)* }
        calls { $($(#[$call_doc:meta])* fn $call:ident($caller:ident: $caller_type:ty $(, $call_arg:ident: $call_arg_type:ty)* $(,)?) $(-> $call_output:ty)?;)* }
    ) => {
        $(
            $(#[$wait_doc])*
            ///
            #[doc = concat!("Blocks where [`", $client, "::", stringify!($wait), "`](crate::", $client, "::", stringify!($wait), ") is awaited; settings, units and errors are told there.")]
            pub fn $wait($waiter: $waiter_type $(, $wait_arg: $wait_arg_type)*) $(-> $wait_output)? {
                $waiter.background.block_on($waiter.inner.$wait($($wait_arg),*))
            }
        )*
        $(
            $(#[$call_doc])*
            ///
            #[doc = concat!("As [`", $client, "::", stringify!($call), "`](crate::", $client, "::", stringify!($call), "), where settings, units and errors are told.")]
            pub fn $call($caller: $caller_type $(, $call_arg: $call_arg_type)*) $(-> $call_output)? {
                $caller.inner.$call($($call_arg),*)
            }
        )*
    };
}

pub(super) use blocking_methods;
