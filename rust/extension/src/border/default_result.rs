//! The results of calls that are not executed, because they were made on another thread than the main thread.

#![allow(unsafe_code, reason = "results are written to memory of the engine")]

use std::ffi::c_void;

use godot::builtin::StringName;
use godot::sys::{self, GodotFfi};

use super::engine::Engine;

/// The result of a call that is not executed.
#[derive(Clone, Copy)]
pub(super) enum DefaultResult {
    Nothing,
    Int(i64),
    Bool,
    Float,
    Object,
    Variant,
    /// The empty value of a type.
    Empty(sys::GDExtensionVariantType),
}

/// `ERR_UNAVAILABLE`.
pub(super) const UNAVAILABLE: DefaultResult = DefaultResult::Int(2);

impl DefaultResult {
    /// The default result of a method with this return type.
    ///
    /// # Safety
    /// `info` describes a return value, as gdext does.
    pub(super) unsafe fn of(info: &sys::GDExtensionPropertyInfo) -> Self {
        match info.type_ {
            sys::GDEXTENSION_VARIANT_TYPE_NIL if info.usage & NIL_IS_VARIANT != 0 => Self::Variant,
            sys::GDEXTENSION_VARIANT_TYPE_NIL => Self::Nothing,
            sys::GDEXTENSION_VARIANT_TYPE_INT => {
                // SAFETY: the name of an enum, or an empty one.
                let name = unsafe { StringName::new_from_sys(info.class_name.cast()) };
                if name == "Error" { UNAVAILABLE } else { Self::Int(0) }
            }
            sys::GDEXTENSION_VARIANT_TYPE_BOOL => Self::Bool,
            sys::GDEXTENSION_VARIANT_TYPE_FLOAT => Self::Float,
            sys::GDEXTENSION_VARIANT_TYPE_OBJECT => Self::Object,
            other => Self::Empty(other),
        }
    }

    /// Writes the value, if its type has no destructor.
    ///
    /// # Safety
    /// `place` has room for a value of this type.
    pub(super) unsafe fn write_plain(self, place: sys::GDExtensionTypePtr) {
        // SAFETY: integers and enums are passed in 64 bits, bools in 8, objects as pointers.
        unsafe {
            match self {
                Self::Int(value) => *place.cast::<i64>() = value,
                Self::Bool => *place.cast::<u8>() = 0,
                Self::Float => *place.cast::<f64>() = 0.0,
                Self::Object => *place.cast::<*mut c_void>() = std::ptr::null_mut(),
                Self::Nothing | Self::Variant | Self::Empty(_) => {}
            }
        }
    }

    /// # Safety
    /// `place` holds a value of this type.
    pub(super) unsafe fn write(self, place: sys::GDExtensionTypePtr) {
        let Some(engine) = Engine::get() else { return };
        // SAFETY: the types of the functions are those of the engine's header, and the old value is destroyed before the new one is made.
        unsafe {
            self.write_plain(place);
            match self {
                Self::Variant => {
                    let destroy =
                        engine.function::<sys::GDExtensionInterfaceVariantDestroy>(c"variant_destroy");
                    let make = engine.function::<sys::GDExtensionInterfaceVariantNewNil>(c"variant_new_nil");
                    if let (Some(destroy), Some(make)) = (destroy, make) {
                        destroy(place.cast());
                        make(place.cast());
                    }
                }
                Self::Empty(kind) => {
                    let destructor = engine.function::<sys::GDExtensionInterfaceVariantGetPtrDestructor>(
                        c"variant_get_ptr_destructor",
                    );
                    let constructor = engine.function::<sys::GDExtensionInterfaceVariantGetPtrConstructor>(
                        c"variant_get_ptr_constructor",
                    );
                    if let Some(make) = constructor.and_then(|find| find(kind, 0)) {
                        if let Some(destroy) = destructor.and_then(|find| find(kind)) {
                            destroy(place);
                        }
                        make(place.cast(), std::ptr::null());
                    }
                }
                _ => {}
            }
        }
    }

    /// # Safety
    /// `place` holds nil.
    pub(super) unsafe fn write_variant(self, place: sys::GDExtensionVariantPtr) {
        let Some(engine) = Engine::get() else { return };
        let kind = match self {
            Self::Int(_) => sys::GDEXTENSION_VARIANT_TYPE_INT,
            Self::Bool => sys::GDEXTENSION_VARIANT_TYPE_BOOL,
            Self::Float => sys::GDEXTENSION_VARIANT_TYPE_FLOAT,
            Self::Empty(kind) => kind,
            Self::Nothing | Self::Object | Self::Variant => return,
        };
        // SAFETY: the types of the functions are those of the engine's header; nil needs no destructor.
        unsafe {
            if let Self::Int(mut value) = self {
                let find = engine.function::<sys::GDExtensionInterfaceGetVariantFromTypeConstructor>(
                    c"get_variant_from_type_constructor",
                );
                if let Some(make) = find.and_then(|find| find(kind)) {
                    make(place.cast(), (&raw mut value).cast());
                }
            } else if let Some(make) =
                engine.function::<sys::GDExtensionInterfaceVariantConstruct>(c"variant_construct")
            {
                let mut error = sys::default_call_error();
                make(kind, place.cast(), std::ptr::null(), 0, &raw mut error);
            }
        }
    }
}

/// `PROPERTY_USAGE_NIL_IS_VARIANT`.
const NIL_IS_VARIANT: u32 = 1 << 17;
