//! The macro that turns the implementations of the traits into the exports of a component.

/// Exports a codec: `codec!(platform: MyPlatform, device: MyDevice);`, or without a device side `codec!(platform: MyPlatform);`.
///
/// Once per crate, whose `crate-type` contains `cdylib`. Built for anything but WebAssembly it only checks the types.
#[macro_export]
macro_rules! codec {
    (platform: $platform:ty, device: $device:ty $(,)?) => {
        const _: () = {
            struct Exported;
            $crate::__packhorse_platform!(Exported, $platform);
            $crate::__packhorse_device!(Exported, $device);
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::with_device::export_codec_with_device!(
                Exported with_types_in $crate::bindings::with_device
            );
        };
    };
    (platform: $platform:ty $(,)?) => {
        const _: () = {
            struct Exported;
            $crate::__packhorse_platform!(Exported, $platform);
            #[cfg(target_arch = "wasm32")]
            $crate::bindings::with_device::exports::packhorse::codec::platform::__export_packhorse_codec_platform_1_0_0_cabi!(
                Exported with_types_in $crate::bindings::with_device::exports::packhorse::codec::platform
            );
            #[cfg(target_arch = "wasm32")]
            #[used]
            static DESCRIBED: fn() = $crate::bindings::platform_only::__link_custom_section_describing_imports;
        };
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __packhorse_platform {
    ($exported:ident, $platform:ty) => {
        ::std::thread_local! {
            static PLATFORM: $crate::private::PlatformSlot<$platform> = const { $crate::private::PlatformSlot::new() };
        }
        impl $crate::private::platform::Guest for $exported {
            fn describe() -> $crate::Description {
                $crate::private::install();
                <$platform as $crate::Platform>::describe()
            }
            fn open(transfer: $crate::Transfer) -> ::core::result::Result<(), $crate::Text> {
                $crate::private::install();
                PLATFORM.with(|slot| slot.open(transfer))
            }
            fn decode(batch: ::std::vec::Vec<$crate::Incoming>) -> $crate::private::platform::Decoded {
                PLATFORM.with(|slot| slot.decode(batch))
            }
            fn encode(batch: ::std::vec::Vec<$crate::Command>) -> $crate::private::platform::Encoded {
                PLATFORM.with(|slot| slot.encode(batch))
            }
            fn save() -> ::std::vec::Vec<u8> {
                PLATFORM.with(|slot| slot.save())
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __packhorse_device {
    ($exported:ident, $device:ty) => {
        ::std::thread_local! {
            static DEVICE: $crate::private::DeviceSlot<$device> = const { $crate::private::DeviceSlot::new() };
        }
        impl $crate::private::device::Guest for $exported {
            fn open(transfer: $crate::Transfer) -> ::core::result::Result<(), $crate::Text> {
                $crate::private::install();
                DEVICE.with(|slot| slot.open(transfer))
            }
            fn decode(batch: ::std::vec::Vec<$crate::Incoming>) -> $crate::private::device::Decoded {
                DEVICE.with(|slot| slot.decode(batch))
            }
            fn encode(batch: ::std::vec::Vec<$crate::Event>) -> $crate::private::device::Encoded {
                DEVICE.with(|slot| slot.encode(batch))
            }
            fn save() -> ::std::vec::Vec<u8> {
                DEVICE.with(|slot| slot.save())
            }
        }
    };
}
