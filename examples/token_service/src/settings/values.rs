//! Reads the values of settings from the environment and from a TOML file.

use std::{collections::BTreeMap, env, fs, path::Path, str::FromStr};

use toml::de::{DeTable, DeValue};

use super::table::{SETTINGS, Setting};

/// The values that the operator has set. A setting that is absent or empty has its default.
#[derive(Default)]
pub(crate) struct Values(BTreeMap<&'static str, Value>);

struct Value {
    text: String,
    from: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Default,
    File,
    Environment,
}

impl Values {
    /// Reads the file, if there is one, and then the environment, which takes precedence.
    pub(crate) fn read(file: Option<&Path>) -> Result<Self, String> {
        let mut values = Self::default();
        if let Some(path) = file {
            let explain = |error| format!("{}: {error}", path.display());
            let text = fs::read_to_string(path).map_err(|error| explain(error.to_string()))?;
            values.add_file(&text).map_err(explain)?;
        }
        for Setting { name, .. } in SETTINGS {
            match env::var(name) {
                Ok(text) => values.add(name, text, Origin::Environment),
                Err(env::VarError::NotPresent) => {}
                Err(env::VarError::NotUnicode(_)) => return Err(format!("{name} is not UTF-8")),
            }
        }
        Ok(values)
    }

    /// The errors do not repeat lines of the file, because they may contain a password.
    fn add_file(&mut self, text: &str) -> Result<(), String> {
        let line = |at: usize| text.get(..at).unwrap_or_default().matches('\n').count() + 1;
        let table = DeTable::parse(text).map_err(|error| {
            let line = line(error.span().unwrap_or_default().start);
            format!("line {line} is not TOML: {}", error.message())
        })?;
        for (key, value) in table.get_ref() {
            let line = line(key.span().start);
            let name = name_of(key.get_ref()).map_err(|error| format!("line {line}: {error}"))?;
            let text = match value.get_ref() {
                DeValue::String(text) => text.to_string(),
                DeValue::Integer(number) => number.to_string(),
                DeValue::Boolean(is_set) => u8::from(*is_set).to_string(),
                _ => return Err(format!("line {line}: expected a text, an integer or a boolean")),
            };
            self.add(name, text, Origin::File);
        }
        Ok(())
    }

    fn add(&mut self, name: &'static str, text: String, from: Origin) {
        if !text.is_empty() {
            self.0.insert(name, Value { text, from });
        }
    }

    /// These values, for tests.
    #[cfg(test)]
    pub(crate) fn of(settings: &[(&'static str, &str)]) -> Self {
        let mut values = Self::default();
        for (name, text) in settings {
            values.add(name, (*text).to_owned(), Origin::Environment);
        }
        values
    }

    /// Where the value of this setting comes from.
    pub(crate) fn origin(&self, name: &str) -> Origin {
        self.0.get(name).map_or(Origin::Default, |value| value.from)
    }

    /// The value, if the operator has set it.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.text.as_str())
    }

    /// The value or its default, which must be a value.
    pub(crate) fn text_or_default(&self, name: &str) -> String {
        let default = || SETTINGS.iter().find(|setting| setting.name == name);
        let text = self.text(name).or_else(|| default().map(|setting| setting.default));
        text.unwrap_or_default().to_owned()
    }

    /// The value or its default, as this type. The error says what was expected.
    pub(crate) fn parsed<T: FromStr>(
        &self,
        name: &str,
        expected: &str,
        is_valid: impl Fn(&T) -> bool,
    ) -> Result<T, String> {
        let value = self.text_or_default(name).parse().ok().filter(is_valid);
        value.ok_or_else(|| format!("{name} is not {expected}"))
    }

    /// The value, 0 or 1, if the operator has set it.
    pub(crate) fn switch(&self, name: &str) -> Result<Option<bool>, String> {
        match self.text(name) {
            None => Ok(None),
            Some("0") => Ok(Some(false)),
            Some("1") => Ok(Some(true)),
            Some(_) => Err(format!("{name} is not 0 or 1")),
        }
    }
}

/// The setting of this key in a file. The error names the nearest one.
fn name_of(key: &str) -> Result<&'static str, String> {
    if let Some(setting) = SETTINGS.iter().find(|setting| setting.key() == key) {
        return Ok(setting.name);
    }
    let distance =
        |setting: &&Setting| strsim::damerau_levenshtein(&setting.key(), &key.to_lowercase());
    let nearest = SETTINGS.iter().min_by_key(distance).map(Setting::key).unwrap_or_default();
    Err(format!("unknown setting {key:?}: the nearest one is {nearest:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Values, String> {
        let mut values = Values::default();
        values.add_file(text)?;
        Ok(values)
    }

    #[test]
    fn a_file_has_texts_integers_and_booleans() {
        let values = file("addr = \"[::]:80\"\nrevocation_bound = 7\ndemo = true\n").unwrap();
        assert_eq!(values.text("ADDR"), Some("[::]:80"));
        assert_eq!(values.text("REVOCATION_BOUND"), Some("7"));
        assert_eq!(values.switch("DEMO"), Ok(Some(true)));
        assert!(values.origin("DEMO") == Origin::File);
        assert!(values.origin("ISSUER") == Origin::Default);
        assert_eq!(values.text_or_default("ISSUER"), "token_service");
    }

    #[test]
    fn an_unknown_key_is_an_error_that_names_the_nearest() {
        for (key, nearest) in
            [("adress", "addr"), ("DATABASE_URL", "database_url"), ("redisurl", "redis_url")]
        {
            let error = file(&format!("\n{key} = \"x\"")).err().unwrap();
            let expected =
                format!("line 2: unknown setting {key:?}: the nearest one is {nearest:?}");
            assert_eq!(error, expected);
        }
    }

    #[test]
    fn an_error_of_a_file_names_the_line_and_not_its_text() {
        for text in
            ["demo = 1\ndemo_password = \"secret", "demo = 1\ndemo_password = [\"secret\"]", "\n["]
        {
            let error = file(text).err().unwrap();
            assert!(error.contains("line 2") && !error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn empty_values_are_absent() {
        assert_eq!(file("redis_url = \"\"").unwrap().text("REDIS_URL"), None);
    }
}
