//! The functions of the engine that gdext does not offer.

#![allow(unsafe_code, reason = "functions of the engine are called through pointers")]

use std::ffi::{CStr, c_char};
use std::sync::{PoisonError, RwLock};

use godot::sys;

pub(super) type Find = unsafe extern "C" fn(*const c_char) -> sys::GDExtensionInterfaceFunctionPtr;

/// The engine's functions.
#[derive(Clone, Copy)]
pub(super) struct Engine {
    pub(super) find: Find,
}

impl Engine {
    /// Sets the function that finds all others.
    pub(super) fn set(find: sys::GDExtensionInterfaceGetProcAddress) {
        *ENGINE.write().unwrap_or_else(PoisonError::into_inner) = find.map(|find| Self { find });
    }

    pub(super) fn get() -> Option<Self> {
        *ENGINE.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// # Safety
    /// `F` is the type that the engine's header gives to the function of this name.
    pub(super) unsafe fn function<F: Copy>(self, name: &CStr) -> Option<F> {
        const { assert!(size_of::<F>() == size_of::<sys::GDExtensionInterfaceFunctionPtr>()) };
        // SAFETY: the engine's own function, and a string that ends with a zero.
        let found = unsafe { (self.find)(name.as_ptr()) };
        // SAFETY: both are pointers to functions, and the caller knows the type.
        found.map(|function| unsafe { std::mem::transmute_copy::<unsafe extern "C" fn(), F>(&function) })
    }
}

static ENGINE: RwLock<Option<Engine>> = RwLock::new(None);
