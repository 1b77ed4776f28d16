//! `check`: prints the settings without secrets, and warnings about insecure ones.

use crate::settings::{
    Settings,
    table::{SETTINGS, Setting, Shown},
    values::{Origin, Values},
    warnings::{self, without_secrets},
};

pub(crate) fn print(values: &Values, settings: &Settings) {
    for setting in SETTINGS {
        println!("{}", line(setting, values));
    }
    for warning in warnings::of(settings) {
        println!("warning: {warning}");
    }
}

fn line(setting: &Setting, values: &Values) -> String {
    let name = setting.name;
    let Some(value) = values.text(name) else {
        return format!("{name}: {} (default)", setting.default);
    };
    let value = match setting.shown {
        Shown::Whole => value.to_owned(),
        Shown::Url => without_secrets(value),
        Shown::Secret => "set, not shown".to_owned(),
    };
    let from = if values.origin(name) == Origin::File { "file" } else { "environment" };
    format!("{name}: {value} ({from})")
}
