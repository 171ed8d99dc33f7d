//! Properties that control who may connect. After an invalid value nothing opens until a valid one is set, so that a typing error
//! never lets in more clients than the script intended.

use std::collections::BTreeMap;
use std::fmt::Display;

use godot::builtin::{Callable, GString, PackedStringArray, Variant, VariantType};
use godot::classes::{CryptoKey, Object, X509Certificate};
use godot::global::Error;
use godot::obj::Gd;

use crate::host::PeerHost;
use crate::signals::HostClass;
use crate::tuning;

/// The rules with an invalid value, by name, and the reasons.
pub(crate) type InvalidRules = BTreeMap<&'static str, String>;

/// The type of a rule's values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum RuleType {
    Bool,
    Callable,
    Certificate,
    Key,
    Text,
    Texts,
    Whole,
}

impl RuleType {
    /// Whether the engine calls the setter with such a value. A value of another type does not reach the setter.
    fn fits(self, value: &Variant) -> bool {
        match self {
            Self::Bool => value.try_to_relaxed::<bool>().is_ok(),
            Self::Callable => value.try_to_relaxed::<Callable>().is_ok(),
            Self::Certificate => value.try_to_relaxed::<Option<Gd<X509Certificate>>>().is_ok(),
            Self::Key => value.try_to_relaxed::<Option<Gd<CryptoKey>>>().is_ok(),
            Self::Text => value.try_to_relaxed::<GString>().is_ok(),
            Self::Texts => value.try_to_relaxed::<PackedStringArray>().is_ok(),
            Self::Whole => value.try_to_relaxed::<i64>().is_ok(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Bool => "a bool",
            Self::Callable => "a Callable",
            Self::Certificate => "an X509Certificate or null",
            Self::Key => "a CryptoKey or null",
            Self::Text => "a String",
            Self::Texts => "a PackedStringArray",
            Self::Whole => "an int",
        }
    }
}

/// A class with properties that are rules.
pub(crate) trait AccessRules: HostClass {
    /// The names of the properties, and their types.
    const RULES: &'static [(&'static str, RuleType)];

    /// Whether an earlier value that the script has set stays in force, so that it still keeps out whom it should.
    fn keeps_value(&self, _rule: &str) -> bool {
        false
    }

    /// Returns `true` if a rule may be set to the new value. An invalid value is recorded. So is a value that is set while open
    /// and `changes` the rule: it is not in force, and the object must not open the next time as if it were.
    fn accepts_value(
        &mut self,
        rule: &'static str,
        checked: Result<(), impl Display>,
        changes: bool,
    ) -> bool {
        match checked {
            Err(why) => self.refuse_value(rule, why.to_string()),
            Ok(()) if self.host_mut().may_change(rule) => {
                self.host_mut().invalid_rules.remove(rule);
                return true;
            }
            Ok(()) => {
                if changes && !self.keeps_value(rule) {
                    self.host_mut().invalid_rules.insert(rule, "it was set while open".to_owned());
                }
            }
        }
        false
    }

    /// Prints that a value of a rule is invalid, and records it.
    fn refuse_value(&mut self, rule: &'static str, why: String) {
        let keeps = self.keeps_value(rule);
        let host = self.host_mut();
        host.kind.property_error(rule, &why);
        if !keeps {
            host.invalid_rules.insert(rule, why);
        }
    }

    /// Returns `true` for a value of the wrong type, and records it: the engine does not call the setter for such a value, so the rule
    /// would be missing.
    fn refuses_type_of(&mut self, property: &str, value: &Variant) -> bool {
        let Some((rule, expected)) = Self::RULES.iter().find(|(rule, _)| *rule == property) else {
            return false;
        };
        let fits = expected.fits(value);
        if !fits {
            self.refuse_value(
                rule,
                format!("{} cannot be used; it must be {}", abbreviated(value), expected.name()),
            );
        }
        !fits
    }
}

impl PeerHost {
    /// Whether the object may open: it is closed, and all rules are valid. Prints a line otherwise.
    pub(crate) fn check_opening(&self, method: &str, code: Error) -> Result<(), Error> {
        self.check_closed(method)?;
        self.check_rules().map_err(|why| {
            self.kind.error(method, why);
            code
        })
    }

    /// Names the invalid rules.
    pub(crate) fn check_rules(&self) -> Result<(), String> {
        if self.invalid_rules.is_empty() {
            return Ok(());
        }
        let refused: Vec<_> =
            self.invalid_rules.iter().map(|(name, why)| format!("{name} was refused ({why})")).collect();
        Err(format!("{}; set a valid value, or the default, first", refused.join(", ")))
    }
}

/// Whether a number is in the range of a rule.
pub(crate) fn number_in(value: i64, min: i64, max: i64) -> Result<(), String> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(tuning::out_of_range(value, min, max)) }
}

/// For a setter without a check.
pub(crate) const VALID: Result<(), &str> = Ok(());

fn abbreviated(value: &Variant) -> String {
    match value.get_type() {
        VariantType::NIL => "null".to_owned(),
        // The text of an object can be made by a script, which must not run here: the object of the rule is borrowed.
        VariantType::OBJECT => match value.try_to::<Gd<Object>>() {
            Ok(object) => object.get_class().to_string(),
            Err(_) => "an object that was freed".to_owned(),
        },
        VariantType::ARRAY => "an Array".to_owned(),
        VariantType::DICTIONARY => "a Dictionary".to_owned(),
        kind => {
            let text: String = value.to_string().chars().filter(|char| !char.is_control()).take(60).collect();
            let is_text = matches!(kind, VariantType::STRING | VariantType::STRING_NAME);
            if is_text { format!("{text:?}") } else { text }
        }
    }
}
