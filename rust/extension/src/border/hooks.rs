//! Intercepts the calls between the engine and gdext, for the classes that scripts use.
//!
//! The engine gives a library one function that finds all others. This file gives gdext another one, which returns the same functions
//! except for those that register classes and methods. Classes and methods that are registered through these are called through this file.
//!
//! * A call on another thread than the main thread does not reach gdext. It prints one error per object, and returns an error code or a
//!   default value.
//! * An object that is created on another thread is a placeholder: it gets its Rust part when the main thread first uses it.
//! * An object that is freed on another thread, or inside one of its own calls, loses its Rust part later, when the main thread runs the
//!   deferred work and no call of that object is running.
//! * After the library was unloaded, gdext is not called any more (an object can outlive it, for example in `Engine.set_meta()`).

#![allow(unsafe_code, reason = "functions of the engine and of gdext are called through pointers")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, c_char, c_void};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use godot::builtin::StringName;
use godot::sys::{self, GodotFfi};

use super::default_result::{DefaultResult, UNAVAILABLE};
use super::engine::{Engine, Find};
use super::{Call, in_call, is_in_call_of, is_main_thread, leave_main_thread, request_run, run_deferred};
use crate::report;

/// Returns the function that gdext gets in place of the engine's own.
pub(crate) fn intercept(
    engine: sys::GDExtensionInterfaceGetProcAddress,
) -> sys::GDExtensionInterfaceGetProcAddress {
    Engine::set(engine);
    LOADED.store(true, Ordering::Relaxed);
    engine.map(|_| find as Find)
}

/// The library is unloaded: frees the waiting Rust parts. Those that are freed from now on stay in memory.
pub(crate) fn release() {
    free_waiting();
    LOADED.store(false, Ordering::Relaxed);
    leave_main_thread();
    NAMES.with_borrow_mut(|names| drop(std::mem::take(&mut **names)));
}

/// Frees the Rust parts of freed objects, except those that have a running call. Nothing may be borrowed.
pub(super) fn free_waiting() {
    let gone = std::mem::take(&mut *lock(&FREED));
    for (class, instance) in gone {
        if is_in_call_of(instance) {
            // The end of that call requests another run.
            lock(&FREED).push((class, instance));
            request_run();
        } else {
            // SAFETY: the engine has freed the object of this instance, and gdext was not told yet.
            unsafe { class.free(std::ptr::with_exposed_provenance_mut(instance)) };
        }
    }
}

type RegisterClass = sys::GDExtensionInterfaceClassdbRegisterExtensionClass3;
type RegisterMethod = sys::GDExtensionInterfaceClassdbRegisterExtensionClassMethod;
type Instance = sys::GDExtensionClassInstancePtr;
type Setter = unsafe extern "C" fn(
    Instance,
    sys::GDExtensionConstStringNamePtr,
    sys::GDExtensionConstVariantPtr,
) -> sys::GDExtensionBool;

/// A registered class that scripts use.
struct Class {
    name: String,
    /// The `StringName`s of the class and of its base.
    name_id: usize,
    base_id: usize,
    create: unsafe extern "C" fn(*mut c_void) -> sys::GDExtensionObjectPtr,
    free: unsafe extern "C" fn(*mut c_void, Instance),
    recreate: unsafe extern "C" fn(*mut c_void, sys::GDExtensionObjectPtr) -> Instance,
    set: sys::GDExtensionClassSet,
    virtuals: Vec<Virtual>,
}

impl Class {
    /// # Safety
    /// On the main thread, with an instance that gdext has made and whose object is freed.
    unsafe fn free(&self, instance: Instance) {
        lock(&REPORTED).remove(&instance.addr());
        // SAFETY: as above. gdext does not use the first argument.
        unsafe { (self.free)(std::ptr::null_mut(), instance) };
    }
}

/// A virtual function of one class.
struct Virtual {
    class: String,
    name: &'static str,
    /// Its `StringName`.
    id: usize,
    call: unsafe extern "C" fn(Instance, *const sys::GDExtensionConstTypePtr, sys::GDExtensionTypePtr),
    default_result: DefaultResult,
}

/// A method of one class.
struct Method {
    class: String,
    name: String,
    call: unsafe extern "C" fn(
        *mut c_void,
        Instance,
        *const sys::GDExtensionConstVariantPtr,
        sys::GDExtensionInt,
        sys::GDExtensionVariantPtr,
        *mut sys::GDExtensionCallError,
    ),
    ptrcall: unsafe extern "C" fn(
        *mut c_void,
        Instance,
        *const sys::GDExtensionConstTypePtr,
        sys::GDExtensionTypePtr,
    ),
    default_result: DefaultResult,
}

/// The virtuals of the base classes, and their results on another thread.
const VIRTUALS: [(&str, DefaultResult); 23] = [
    ("_close", DefaultResult::Nothing),
    ("_disconnect_peer", DefaultResult::Nothing),
    ("_get_available_packet_count", DefaultResult::Int(0)),
    ("_get_connection_status", DefaultResult::Int(0)),
    ("_get_max_packet_size", DefaultResult::Int(0)),
    ("_get_packet", UNAVAILABLE),
    ("_get_packet_channel", DefaultResult::Int(0)),
    ("_get_packet_mode", TRANSFER_MODE),
    ("_get_packet_peer", DefaultResult::Int(1)),
    ("_get_packet_script", DefaultResult::Empty(sys::GDEXTENSION_VARIANT_TYPE_PACKED_BYTE_ARRAY)),
    ("_get_transfer_channel", DefaultResult::Int(0)),
    ("_get_transfer_mode", TRANSFER_MODE),
    ("_get_unique_id", DefaultResult::Int(0)),
    ("_is_refusing_new_connections", DefaultResult::Bool),
    ("_is_server", DefaultResult::Bool),
    ("_is_server_relay_supported", DefaultResult::Bool),
    ("_poll", DefaultResult::Nothing),
    ("_put_packet", UNAVAILABLE),
    ("_put_packet_script", UNAVAILABLE),
    ("_set_refuse_new_connections", DefaultResult::Nothing),
    ("_set_target_peer", DefaultResult::Nothing),
    ("_set_transfer_channel", DefaultResult::Nothing),
    ("_set_transfer_mode", DefaultResult::Nothing),
];

/// `TRANSFER_MODE_RELIABLE`.
const TRANSFER_MODE: DefaultResult = DefaultResult::Int(2);

/// The bases of the classes that scripts use.
const BASES: [&str; 2] = ["MultiplayerPeerExtension", "PacketPeerExtension"];

/// Whether gdext may be called.
static LOADED: AtomicBool = AtomicBool::new(false);
static CLASSES: Mutex<Vec<&'static Class>> = Mutex::new(Vec::new());
/// The classes that intercept the setting of properties.
static SETTABLE: [AtomicPtr<Class>; SLOTS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; SLOTS];
/// As many as there are classes.
const SLOTS: usize = 4;
/// Placeholders by their number, which the engine stores in place of the Rust part.
static PLACEHOLDERS: Mutex<BTreeMap<usize, Placeholder>> = Mutex::new(BTreeMap::new());
/// Rust parts of freed objects.
static FREED: Mutex<Vec<(&'static Class, usize)>> = Mutex::new(Vec::new());
/// Objects whose use on another thread was reported.
static REPORTED: Mutex<BTreeSet<usize>> = Mutex::new(BTreeSet::new());

thread_local! {
    // Keeps the names alive: virtuals are found by their addresses. Not dropped with the thread, because a destructor would keep the
    // library from being unloaded.
    static NAMES: RefCell<ManuallyDrop<Vec<StringName>>> = const { RefCell::new(ManuallyDrop::new(Vec::new())) };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

// --- registration ---

unsafe extern "C" fn find(name: *const c_char) -> sys::GDExtensionInterfaceFunctionPtr {
    let engine = Engine::get()?;
    // SAFETY: gdext passes a string that ends with a zero, as the engine requires.
    let (found, name) = unsafe { ((engine.find)(name)?, CStr::from_ptr(name)) };
    let ours = match name.to_bytes() {
        // SAFETY: a pointer to a function of any type may be passed on as one of this type; gdext casts it back to the type of that
        // name.
        b"classdb_register_extension_class3" => unsafe {
            std::mem::transmute::<RegisterClass, unsafe extern "C" fn()>(register_class)
        },
        // SAFETY: as above.
        b"classdb_register_extension_class_method" => unsafe {
            std::mem::transmute::<RegisterMethod, unsafe extern "C" fn()>(register_method)
        },
        _ => found,
    };
    Some(ours)
}

unsafe extern "C" fn register_class(
    library: sys::GDExtensionClassLibraryPtr,
    name: sys::GDExtensionConstStringNamePtr,
    base: sys::GDExtensionConstStringNamePtr,
    info: *const sys::GDExtensionClassCreationInfo3,
) {
    // SAFETY: the engine's own function of this name.
    let register = Engine::get()
        .and_then(|engine| unsafe { engine.function::<RegisterClass>(c"classdb_register_extension_class3") });
    let Some(register) = register else { return };
    // SAFETY: gdext passes the arguments of the engine's function, valid for this call.
    unsafe {
        let mut info = *info;
        if let Some(class) = adopt(name, base, &info) {
            info.class_userdata = std::ptr::from_ref(class).cast_mut().cast();
            info.create_instance_func = Some(create);
            info.free_instance_func = Some(free);
            info.recreate_instance_func = Some(recreate);
            info.get_virtual_func = None;
            info.get_virtual_call_data_func = Some(get_virtual);
            info.call_virtual_with_data_func = Some(call_virtual);
            info.set_func = info.set_func.and_then(|_| setter_of(class));
            let others = [
                info.get_func.take().is_some(),
                info.get_property_list_func.take().is_some(),
                info.property_can_revert_func.take().is_some(),
                info.property_get_revert_func.take().is_some(),
                info.validate_property_func.take().is_some(),
                info.notification_func.take().is_some(),
                info.to_string_func.take().is_some(),
            ];
            if others.contains(&true) {
                report::warning(
                    "WebSocket: a bug in this addon: gdext registers a function that is not protected from other threads",
                );
            }
            // gdext's functions do nothing, and the engine calls them on any thread.
            info.reference_func = None;
            info.unreference_func = None;
        }
        register(library, name, base, &raw const info);
    }
}

/// When the engine sets a property it does not pass the class, so each class has a function of its own.
fn setter_of(class: &'static Class) -> sys::GDExtensionClassSet {
    const SETTERS: [Setter; SLOTS] = [set::<0>, set::<1>, set::<2>, set::<3>];
    let of_this_name = |slot: &&AtomicPtr<Class>| {
        // SAFETY: null, or a class, which is never freed.
        let known = unsafe { slot.load(Ordering::Acquire).as_ref() };
        known.is_none_or(|known| known.name == class.name)
    };
    let (slot, setter) = SETTABLE.iter().zip(SETTERS).find(|(slot, _)| of_this_name(slot))?;
    slot.store(std::ptr::from_ref(class).cast_mut(), Ordering::Release);
    Some(setter)
}

/// Records a class that scripts use; returns `None` for classes of the editor.
///
/// # Safety
/// The arguments of gdext's registration, on the main thread.
unsafe fn adopt(
    name: sys::GDExtensionConstStringNamePtr,
    base: sys::GDExtensionConstStringNamePtr,
    info: &sys::GDExtensionClassCreationInfo3,
) -> Option<&'static Class> {
    // SAFETY: both are pointers to names, which are copied.
    let (name, base) =
        unsafe { (StringName::new_from_sys(name.cast()), StringName::new_from_sys(base.cast())) };
    if !BASES.iter().any(|known| base == *known) {
        return None;
    }
    let get_virtual = info.get_virtual_func?;
    let mut names = vec![name.clone(), base.clone()];
    let virtuals = VIRTUALS.iter().filter_map(|&(virtual_name, default_result)| {
        let key = StringName::from(virtual_name);
        // SAFETY: gdext's own function, with a name.
        let call = unsafe { get_virtual(std::ptr::null_mut(), key.sys().cast()) }?;
        let found =
            Virtual { class: name.to_string(), name: virtual_name, id: id(&key), call, default_result };
        names.push(key);
        Some(found)
    });
    let class = Class {
        name: name.to_string(),
        name_id: id(&name),
        base_id: id(&base),
        create: info.create_instance_func?,
        free: info.free_instance_func?,
        recreate: info.recreate_instance_func?,
        set: info.set_func,
        virtuals: virtuals.collect(),
    };
    NAMES.with_borrow_mut(|kept| kept.append(&mut names));
    // Leaked, because the engine keeps pointers to it until the process ends.
    let class: &'static Class = Box::leak(Box::new(class));
    lock(&CLASSES).push(class);
    Some(class)
}

/// A number that identifies a name: the engine stores each name once.
fn id(name: &StringName) -> usize {
    // SAFETY: a name is one pointer.
    unsafe { *name.sys().cast::<usize>() }
}

unsafe extern "C" fn register_method(
    library: sys::GDExtensionClassLibraryPtr,
    class: sys::GDExtensionConstStringNamePtr,
    info: *const sys::GDExtensionClassMethodInfo,
) {
    // SAFETY: the engine's own function of this name.
    let register = Engine::get().and_then(|engine| unsafe {
        engine.function::<RegisterMethod>(c"classdb_register_extension_class_method")
    });
    let Some(register) = register else { return };
    // SAFETY: gdext passes the arguments of the engine's function, valid for this call. A name is one pointer.
    unsafe {
        let mut info = *info;
        let class_id = *class.cast::<usize>();
        // The latest one, in case the library was loaded before.
        let known = lock(&CLASSES).iter().rev().find(|known| known.name_id == class_id).copied();
        if let (Some(known), Some(call), Some(ptrcall)) = (known, info.call_func, info.ptrcall_func)
            && info.method_flags & sys::GDEXTENSION_METHOD_FLAG_STATIC.cast_unsigned() == 0
        {
            let name = StringName::new_from_sys(info.name.cast()).to_string();
            let default_result = if info.has_return_value == 0 {
                DefaultResult::Nothing
            } else {
                DefaultResult::of(&*info.return_value_info)
            };
            let method = Method { class: known.name.clone(), name, call, ptrcall, default_result };
            // Leaked like the classes.
            info.method_userdata = std::ptr::from_mut(Box::leak(Box::new(method))).cast();
            info.call_func = Some(call_method);
            info.ptrcall_func = Some(ptrcall_method);
        }
        register(library, class, &raw const info);
    }
}

// --- creation and destruction of objects ---

/// An object without a Rust part.
struct Placeholder {
    class: &'static Class,
    object: usize,
}

/// The number of the next placeholder. Odd numbers, because the address of a Rust part is even.
static NEXT_PLACEHOLDER: AtomicUsize = AtomicUsize::new(1);

unsafe extern "C" fn create(class: *mut c_void) -> sys::GDExtensionObjectPtr {
    // SAFETY: what was registered with the class.
    let class: &'static Class = unsafe { &*class.cast::<Class>() };
    if is_main_thread() {
        // SAFETY: gdext's own function.
        let object = unsafe { (class.create)(std::ptr::null_mut()) };
        // Prints warnings about project settings. Not inside of another call, because something may be borrowed there.
        if !in_call() {
            run_deferred();
        }
        return object;
    }
    // SAFETY: the engine's own functions, with a new object of the base class and the names of both classes. The engine only passes the
    // number back.
    unsafe { make_placeholder(class) }.unwrap_or(std::ptr::null_mut())
}

/// # Safety
/// The class is registered.
unsafe fn make_placeholder(class: &'static Class) -> Option<sys::GDExtensionObjectPtr> {
    let engine = Engine::get()?;
    // SAFETY: the types are those of the engine's header.
    let (construct, set_instance) = unsafe {
        (
            engine
                .function::<sys::GDExtensionInterfaceClassdbConstructObject>(c"classdb_construct_object")?,
            engine.function::<sys::GDExtensionInterfaceObjectSetInstance>(c"object_set_instance")?,
        )
    };
    // SAFETY: a name is one pointer, and these two live as long as the library.
    let object = unsafe { construct((&raw const class.base_id).cast()) };
    if object.is_null() {
        return None;
    }
    let number = NEXT_PLACEHOLDER.fetch_add(2, Ordering::Relaxed);
    lock(&PLACEHOLDERS).insert(number, Placeholder { class, object: object.expose_provenance() });
    // SAFETY: as above.
    unsafe {
        set_instance(object, (&raw const class.name_id).cast(), std::ptr::without_provenance_mut(number))
    };
    Some(object)
}

/// Whether this is the number of a placeholder.
fn is_placeholder(instance: Instance) -> bool {
    instance.addr() & 1 == 1
}

/// Called after a reload of the library, for objects that have outlived it.
unsafe extern "C" fn recreate(class: *mut c_void, object: sys::GDExtensionObjectPtr) -> Instance {
    // SAFETY: what was registered with the class, and gdext's own function.
    unsafe { ((*class.cast::<Class>()).recreate)(std::ptr::null_mut(), object) }
}

unsafe extern "C" fn free(class: *mut c_void, instance: Instance) {
    if is_placeholder(instance) {
        lock(&PLACEHOLDERS).remove(&instance.addr());
        lock(&REPORTED).remove(&instance.addr());
    } else if !LOADED.load(Ordering::Relaxed) {
        // The engine frees the object after the library was unloaded. Its connections are closed; its memory is freed with the process.
    } else if is_main_thread() && !is_in_call_of(instance.addr()) {
        // At once, so that another object can listen on the same port. SAFETY: what was registered with the class, and an instance of it.
        unsafe { (*class.cast::<Class>()).free(instance) };
    } else {
        // SAFETY: as above.
        let class: &'static Class = unsafe { &*class.cast::<Class>() };
        lock(&FREED).push((class, instance.expose_provenance()));
        request_run();
    }
}

// --- calls ---

/// Returns the Rust part to call, or `None` if the call is not allowed.
#[inline]
fn check_call(class: &str, method: &str, instance: Instance) -> Option<Instance> {
    if !is_main_thread() {
        report_wrong_thread(class, method, instance);
        return None;
    }
    if is_placeholder(instance) { initialize(instance) } else { Some(instance) }
}

#[cold]
fn report_wrong_thread(class: &str, method: &str, instance: Instance) {
    // Nothing can be printed after the library was unloaded.
    if LOADED.load(Ordering::Relaxed) && lock(&REPORTED).insert(instance.addr()) {
        report::wrong_thread(class, method);
    }
}

/// Gives a placeholder its Rust part.
#[cold]
fn initialize(instance: Instance) -> Option<Instance> {
    let placeholder = lock(&PLACEHOLDERS).remove(&instance.addr())?;
    lock(&REPORTED).remove(&instance.addr());
    let object = std::ptr::with_exposed_provenance_mut(placeholder.object);
    // SAFETY: gdext's own function, with an object of this class that has no Rust part. It passes the new one to the engine.
    let made = unsafe { (placeholder.class.recreate)(std::ptr::null_mut(), object) };
    (!made.is_null()).then_some(made)
}

unsafe extern "C" fn get_virtual(
    class: *mut c_void,
    name: sys::GDExtensionConstStringNamePtr,
) -> *mut c_void {
    // SAFETY: what was registered with the class, and a name, which is one pointer.
    let (class, id): (&'static Class, usize) = unsafe { (&*class.cast::<Class>(), *name.cast::<usize>()) };
    let found = class.virtuals.iter().find(|one| one.id == id);
    found.map_or(std::ptr::null_mut(), |found| std::ptr::from_ref(found).cast_mut().cast())
}

unsafe extern "C" fn call_virtual(
    instance: Instance,
    _name: sys::GDExtensionConstStringNamePtr,
    method: *mut c_void,
    arguments: *const sys::GDExtensionConstTypePtr,
    result: sys::GDExtensionTypePtr,
) {
    // SAFETY: what get_virtual has returned.
    let method = unsafe { &*method.cast::<Virtual>() };
    // SAFETY: the engine's result, of the type that the virtual has. gdext leaves it alone when the call fails.
    unsafe { method.default_result.write_plain(result) };
    let Some(instance) = check_call(&method.class, &method.name[1..], instance) else {
        return;
    };
    let _call = Call::begin(instance.addr());
    // SAFETY: gdext's own function, with what the engine passes.
    unsafe { (method.call)(instance, arguments, result) };
}

/// Called before the setter of a property. The setter reports the use on another thread.
unsafe extern "C" fn set<const SLOT: usize>(
    instance: Instance,
    name: sys::GDExtensionConstStringNamePtr,
    value: sys::GDExtensionConstVariantPtr,
) -> sys::GDExtensionBool {
    // SAFETY: a class that was stored there, and is never freed.
    let class = unsafe { SETTABLE[SLOT].load(Ordering::Acquire).as_ref() };
    let Some((class, set)) = class.and_then(|class| Some((class, class.set?))) else { return 0 };
    if !is_main_thread() {
        return 0;
    }
    let Some(instance) = check_call(&class.name, "set", instance) else { return 0 };
    let _call = Call::begin(instance.addr());
    // SAFETY: gdext's own function, with what the engine passes.
    unsafe { set(instance, name, value) }
}

unsafe extern "C" fn call_method(
    method: *mut c_void,
    instance: Instance,
    arguments: *const sys::GDExtensionConstVariantPtr,
    count: sys::GDExtensionInt,
    result: sys::GDExtensionVariantPtr,
    error: *mut sys::GDExtensionCallError,
) {
    // SAFETY: what was registered with the method.
    let method = unsafe { &*method.cast::<Method>() };
    let Some(instance) = check_call(&method.class, &method.name, instance) else {
        // SAFETY: the engine's result, which is nil.
        return unsafe { method.default_result.write_variant(result) };
    };
    let _call = Call::begin(instance.addr());
    // SAFETY: gdext's own function, with what the engine passes. gdext does not use the first argument.
    unsafe { (method.call)(std::ptr::null_mut(), instance, arguments, count, result, error) };
}

unsafe extern "C" fn ptrcall_method(
    method: *mut c_void,
    instance: Instance,
    arguments: *const sys::GDExtensionConstTypePtr,
    result: sys::GDExtensionTypePtr,
) {
    // SAFETY: what was registered with the method.
    let method = unsafe { &*method.cast::<Method>() };
    let Some(instance) = check_call(&method.class, &method.name, instance) else {
        // SAFETY: the engine's result, which is a value of the type that was registered.
        return unsafe { method.default_result.write(result) };
    };
    let _call = Call::begin(instance.addr());
    // SAFETY: gdext's own function, with what the engine passes. gdext does not use the first argument.
    unsafe { (method.ptrcall)(std::ptr::null_mut(), instance, arguments, result) };
}
