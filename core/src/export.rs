//! How a type becomes the policy of a component.

/// Exports a type that makes [`Decisions`](crate::Decisions) as the component's policy. A crate
/// says it once, at its root: `corral_core::export!(Policy<MyPolicy>);`.
#[macro_export]
macro_rules! export {
    ($decisions:ty) => {
        #[cfg(target_family = "wasm")]
        struct ExportedDecisions;

        #[cfg(target_family = "wasm")]
        impl $crate::component::Exported for ExportedDecisions {
            type Decisions = $decisions;

            fn configured() -> &'static $crate::component::Configured<$decisions> {
                static CONFIGURED: $crate::component::Configured<$decisions> =
                    $crate::component::Configured::new();
                &CONFIGURED
            }
        }

        #[cfg(target_family = "wasm")]
        type ExportedComponent = $crate::component::Component<ExportedDecisions>;

        #[cfg(target_family = "wasm")]
        $crate::component::bindings::export_world!(
            ExportedComponent with_types_in $crate::component::bindings
        );

        // Other targets export nothing, but there too the compiler shall reject a wrong type.
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            const fn exported<D: $crate::Decisions>() {}
            exported::<$decisions>();
        };
    };
}
