//! The layers of the core: the dependencies of its modules, read from the sources. They point down, and there is no circle.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Attribute, Meta, UseTree};

/// From bottom to top. A node is a module with all its submodules, except for those that are nodes themselves.
const LAYERS: [&[&str]; 8] = [
    &["base", "sync"],
    &[
        "http",
        "deflate",
        "wire",
        "tls",
        "access::client_key",
        "access::forwarded",
        "access::log_limit",
        "access::network",
        "access::origin",
        "access::rate_limiter",
    ],
    &["config", "conditions"],
    &["channel", "event", "decision"],
    &["session", "access"],
    &["hub"],
    &["net"],
    &["peer", ROOT],
];

/// Permitted dependencies that point up or close a circle, from a node to a module, with the reason. An unused entry fails the test.
const ALLOWED: &[(&str, &str, &str)] = &[];

/// The root of the crate.
const ROOT: &str = "crate";

#[test]
fn dependencies_point_down_and_there_is_no_circle() {
    let arrows = Sources::read().arrows;
    let mut wrong = String::new();
    let mut unused: BTreeSet<_> = ALLOWED.iter().map(|(from, to, _)| (*from, *to)).collect();
    let mut graph: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for Arrow { file, from, to } in &arrows {
        let (Some((from_layer, from)), Some((to_layer, node))) = (node_of(from), node_of(to)) else {
            let _ = writeln!(wrong, "{file}: {from} or {to} has no place in LAYERS");
            continue;
        };
        if from == node {
            continue;
        }
        if ALLOWED.iter().any(|(one, other, _)| *one == from && other == to) {
            unused.remove(&(from, to.as_str()));
        } else if to_layer > from_layer {
            let _ = writeln!(wrong, "{file}: {from} is below {node}, and uses {to}");
        } else {
            graph.entry(from).or_default().insert(node);
        }
    }
    if let Some(circle) = circle(&graph) {
        let _ = writeln!(wrong, "a circle: {}", circle.join(" -> "));
    }
    for (from, to) in unused {
        let _ = writeln!(wrong, "{from} does not use {to} any more: take it out of ALLOWED");
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn a_circle_is_found_wherever_it_begins() {
    let graph = |arrows: &[(&'static str, &'static str)]| {
        let mut graph: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (from, to) in arrows {
            graph.entry(*from).or_default().insert(*to);
        }
        circle(&graph)
    };
    assert_eq!(graph(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")]), None);
    assert_eq!(graph(&[("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")]), Some(vec!["b", "c", "d", "b"]));
}

#[test]
fn arrows_are_found_in_each_kind_of_code() {
    let mut sources = Sources { modules: BTreeSet::new(), arrows: BTreeSet::new() };
    for module in ["a", "a::b", "c", "d", "e", "f", "g", "h", "i"] {
        sources.modules.insert(module.to_owned());
    }
    let code = syn::parse_file(
        "use crate::c::{self, Name, deeper::Other}; use super::super::d as renamed; use self::e::Own; use std::fmt;
         fn run() { let it: crate::f::Type = matches!(it, crate::g::Kind::One | super::Sibling); }
         #[cfg(test)] mod tests { use crate::h::Hidden; }
         #[cfg(not(test))] use crate::i::Shown;
         /// Says [`it`](crate::h::it).
         fn documented() { #[cfg(fuzzing)] crate::h::run(); }",
    );
    sources.draw("a/b.rs", "a::b", &code.expect("code"));
    let found: Vec<_> = sources.arrows.iter().map(|arrow| arrow.to.as_str()).collect();
    assert_eq!(found, ["a", "a::b", "c", "d", "f", "g", "i"]);
}

/// Returns the layer and the node of a module.
fn node_of(module: &str) -> Option<(usize, &'static str)> {
    let is_in =
        |node: &str| module.strip_prefix(node).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
    let nodes =
        LAYERS.iter().enumerate().flat_map(|(layer, nodes)| nodes.iter().map(move |node| (layer, *node)));
    nodes.filter(|(_, node)| is_in(node)).max_by_key(|(_, node)| node.len())
}

/// Returns the first circle, if there is one; its first node is also its last.
fn circle<'a>(graph: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Option<Vec<&'a str>> {
    fn visit<'a>(
        node: &'a str,
        graph: &BTreeMap<&'a str, BTreeSet<&'a str>>,
        way: &mut Vec<&'a str>,
        done: &mut BTreeSet<&'a str>,
    ) -> bool {
        if let Some(at) = way.iter().position(|known| *known == node) {
            way.drain(..at);
            way.push(node);
            return true;
        }
        if !done.insert(node) {
            return false;
        }
        way.push(node);
        if graph.get(node).into_iter().flatten().any(|next| visit(next, graph, way, done)) {
            return true;
        }
        way.pop();
        false
    }
    let (mut way, mut done) = (Vec::new(), BTreeSet::new());
    graph.keys().any(|node| visit(node, graph, &mut way, &mut done)).then_some(way)
}

#[derive(Eq, Ord, PartialEq, PartialOrd)]
struct Arrow {
    /// The module that is used.
    to: String,
    from: String,
    file: String,
}

struct Sources {
    modules: BTreeSet<String>,
    arrows: BTreeSet<Arrow>,
}

impl Sources {
    /// All modules of the crate that are not for tests, and what they use.
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut files = Vec::new();
        find_modules(&root.join("lib.rs"), ROOT, &mut files);
        let modules = files.iter().map(|(_, module, _)| module.clone()).collect();
        let mut sources = Self { modules, arrows: BTreeSet::new() };
        for (file, module, code) in &files {
            let file = file.strip_prefix(&root).unwrap_or(file).display().to_string();
            sources.draw(&file, module, code);
        }
        assert!(sources.arrows.len() > 100, "the sources were not found");
        sources
    }

    fn draw(&mut self, file: &str, module: &str, code: &syn::File) {
        let mut paths = Paths { module: module.to_owned(), found: Vec::new() };
        paths.visit_file(code);
        for path in paths.found {
            let to = self.module_of(&path);
            self.arrows.insert(Arrow { to, from: module.to_owned(), file: file.to_owned() });
        }
    }

    /// Returns the innermost module in a path.
    fn module_of(&self, path: &[String]) -> String {
        let prefixes = (1..=path.len()).rev().map(|len| path[..len].join("::"));
        prefixes.into_iter().find(|module| self.modules.contains(module)).unwrap_or_else(|| ROOT.to_owned())
    }
}

/// A module in a file, and the modules that it declares in other files.
fn find_modules(file: &Path, module: &str, files: &mut Vec<(PathBuf, String, syn::File)>) {
    let text = fs::read_to_string(file).expect("a source that can be read");
    let code = syn::parse_file(&text).expect("a source that compiles");
    let is_dir = ["lib.rs", "mod.rs"].iter().any(|name| file.ends_with(name));
    let dir = if is_dir { file.parent().map(Path::to_owned) } else { Some(file.with_extension("")) };
    let dir = dir.expect("a folder");
    for item in &code.items {
        if let syn::Item::Mod(declared) = item
            && declared.content.is_none()
            && is_shipped(&declared.attrs)
        {
            let name = declared.ident.to_string();
            let path = if module == ROOT { name.clone() } else { format!("{module}::{name}") };
            let flat = dir.join(format!("{name}.rs"));
            let file = if flat.exists() { flat } else { dir.join(name).join("mod.rs") };
            find_modules(&file, &path, files);
        }
    }
    files.push((file.to_owned(), module.to_owned(), code));
}

/// The paths in the code of a module that lead into the crate, from the root.
struct Paths {
    module: String,
    found: Vec<Vec<String>>,
}

impl Paths {
    /// A path that begins with `crate`, `super` or `self`. Other paths lead to this module, to its imports, or to other crates.
    fn add(&mut self, segments: &[String]) {
        let here = || self.module.split("::").filter(|part| *part != ROOT).map(str::to_owned).collect();
        let mut path: Vec<String> = match segments.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => here(),
            Some("super") => {
                let mut parent: Vec<_> = here();
                parent.pop();
                parent
            }
            _ => return,
        };
        for segment in &segments[1..] {
            if segment == "super" {
                path.pop();
            } else {
                path.push(segment.clone());
            }
        }
        self.found.push(path);
    }

    fn add_tree(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.add_tree(&path.tree, &with(&path.ident)),
            UseTree::Name(name) => self.add(&with(&name.ident)),
            UseTree::Rename(name) => self.add(&with(&name.ident)),
            UseTree::Glob(_) => self.add(before),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.add_tree(tree, before)),
        }
    }

    /// The arguments of a macro are not parsed as code.
    fn add_text(&mut self, text: &str) {
        let text = text.replace(" :: ", "::").replace(":: ", "::").replace(" ::", "::");
        for path in text.split(|char: char| !char.is_alphanumeric() && !"_:".contains(char)) {
            let segments: Vec<_> =
                path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
            if segments.len() > 1 {
                self.add(&segments);
            }
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        use syn::Item;
        let attrs = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Macro(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Trait(item) => &item.attrs,
            Item::Type(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if is_shipped(attrs) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let outer = self.module.clone();
        if item.content.is_some() {
            self.module = format!("{outer}::{}", item.ident);
        }
        visit::visit_item_mod(self, item);
        self.module = outer;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if is_shipped(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if is_shipped(&field.attrs) {
            visit::visit_field(self, field);
        }
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        if is_shipped(&variant.attrs) {
            visit::visit_variant(self, variant);
        }
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        if is_shipped(&arm.attrs) {
            visit::visit_arm(self, arm);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        if is_shipped(&local.attrs) {
            visit::visit_local(self, local);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if is_shipped(&call.attrs) {
            visit::visit_expr_call(self, call);
        }
    }

    fn visit_expr_block(&mut self, block: &'ast syn::ExprBlock) {
        if is_shipped(&block.attrs) {
            visit::visit_expr_block(self, block);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.add_tree(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<_> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if segments.len() > 1 {
            self.add(&segments);
        }
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {
        // `pub(in super::super)` is not a use.
    }

    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        self.add_text(&called.tokens.to_string());
    }
}

/// Returns whether code with these attributes is, or may be, part of a library that is built without tests.
fn is_shipped(attrs: &[Attribute]) -> bool {
    let conditions = attrs.iter().filter(|attr| attr.path().is_ident("cfg"));
    conditions
        .map(|attr| attr.parse_args().ok().and_then(|meta| holds(&meta)))
        .all(|holds| holds != Some(false))
}

/// Returns whether a condition is true in the shipped library; `None`: on some systems.
fn holds(condition: &Meta) -> Option<bool> {
    match condition {
        Meta::List(list) => {
            let parser = syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated;
            let inner: Vec<_> = list.parse_args_with(parser).ok()?.iter().map(holds).collect();
            let (otherwise, decides) = if list.path.is_ident("all") {
                (true, false)
            } else if list.path.is_ident("any") {
                (false, true)
            } else {
                return inner.first().copied().flatten().map(|inner| !inner);
            };
            if inner.contains(&Some(decides)) {
                Some(decides)
            } else if inner.contains(&None) {
                None
            } else {
                Some(otherwise)
            }
        }
        Meta::Path(path) if path.is_ident("test") || path.is_ident("fuzzing") || path.is_ident("loom") => {
            Some(false)
        }
        Meta::NameValue(pair) if pair.path.is_ident("feature") => Some(false),
        _ => None,
    }
}
