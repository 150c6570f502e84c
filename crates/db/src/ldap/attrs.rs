//! `pass_attrs`, `user_attrs` and `iterate_attrs`: which attributes become which fields.

/// One word of the list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttrField {
    /// The attribute, perhaps of a sub-query (`attr@name`); empty for a value that needs none.
    pub attribute: String,
    /// The field, a template.
    pub name: String,
    /// A template for the value; without one it is the attribute's.
    pub template: Option<String>,
    /// The value is the name of another entry, which is looked up as `@name`.
    pub is_dn: bool,
    /// The attribute is fetched for templates only.
    pub is_skipped: bool,
}

/// A list of fields and the attributes that the server is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttrMap {
    /// The fields in order.
    pub fields: Vec<AttrField>,
    /// The attributes of the entry itself.
    pub attributes: Vec<String>,
}

impl AttrMap {
    /// Parses `attr=field,attr=field=template,=field=template,@sub=attr,!attr`. A field called
    /// `without` is left out.
    ///
    /// # Errors
    /// A word without a field, in 2.3's words.
    pub fn parse(text: &str, without: Option<&str>) -> Result<Self, String> {
        let mut map = Self::default();
        for word in split(text) {
            let field = parse_field(word)?;
            if without.is_some_and(|without| without == field.name) {
                continue;
            }
            map.want(field.template.iter().flat_map(|template| named_in(template)));
            map.want([field.attribute.as_str()]);
            map.fields.push(field);
        }
        Ok(map)
    }

    fn want<'w>(&mut self, attributes: impl IntoIterator<Item = &'w str>) {
        for attribute in attributes.into_iter().filter(|name| !name.is_empty() && !name.contains('@')) {
            if !self.attributes.iter().any(|known| known.eq_ignore_ascii_case(attribute)) {
                self.attributes.push(attribute.to_owned());
            }
        }
    }

    /// The attributes that the sub-query `name` is asked for.
    pub fn attributes_of(&self, name: &str) -> Vec<String> {
        let of_name = |word: &str| {
            let (attribute, query) = word.split_once('@')?;
            (query == name).then(|| attribute.to_owned())
        };
        let mut wanted: Vec<String> = Vec::new();
        let mut through_pointers = false;
        for field in &self.fields {
            wanted.extend(of_name(&field.attribute));
            if let Some(template) = &field.template {
                wanted.extend(named_in(template).filter_map(of_name));
                through_pointers |= template.contains("%{ldap_ptr:");
            }
        }
        // A pointer's attribute is known only once the entry is.
        if through_pointers { Vec::new() } else { wanted }
    }
}

/// Splits at commas. Those within `%{…}` are part of a word, which 2.3 does not know.
fn split(text: &str) -> Vec<&str> {
    let (mut words, mut start, mut depth) = (Vec::new(), 0, 0_usize);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                words.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words.into_iter().map(|word| word.trim_start_matches(' ')).filter(|word| !word.is_empty()).collect()
}

fn parse_field(word: &str) -> Result<AttrField, String> {
    let invalid = || format!("Invalid attrs entry: {word}");
    if let Some(attribute) = word.strip_prefix('!').filter(|rest| !rest.contains('=')) {
        return Ok(AttrField { attribute: attribute.into(), is_skipped: true, ..AttrField::default() });
    }
    if let Some(rest) = word.strip_prefix('@') {
        let (name, attribute) = rest.split_once('=').ok_or_else(invalid)?;
        return Ok(AttrField {
            attribute: attribute.into(),
            name: name.into(),
            is_dn: true,
            ..AttrField::default()
        });
    }
    let Some((attribute, rest)) = word.split_once('=') else {
        return Ok(AttrField { attribute: word.into(), name: word.into(), ..AttrField::default() });
    };
    let (name, template) = match rest.split_once('=') {
        // The old way to write a prefix.
        Some((name, template)) if !template.contains('%') => (name, Some(format!("{template}%$"))),
        Some((name, template)) => (name, Some(template.to_owned())),
        None if attribute.is_empty() => (rest, Some(String::new())),
        None => (rest, None),
    };
    match name.is_empty() {
        true => Err(invalid()),
        false => {
            Ok(AttrField { attribute: attribute.into(), name: name.into(), template, ..AttrField::default() })
        }
    }
}

/// The attributes in `%{ldap:name:default}` and `%{ldap_ptr:name}`, modifiers or not.
fn named_in(template: &str) -> impl Iterator<Item = &str> {
    template.split('{').skip(1).filter_map(|part| {
        let inner = part.split('}').next()?;
        let name = inner.strip_prefix("ldap:").or_else(|| inner.strip_prefix("ldap_ptr:"))?;
        name.split(':').next()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, fields: &[(&str, &str, Option<&str>)], attributes: &[&str]) {
        let map = AttrMap::parse(text, None).unwrap();
        let got: Vec<_> = map
            .fields
            .iter()
            .map(|field| (field.attribute.as_str(), field.name.as_str(), field.template.as_deref()))
            .collect();
        assert_eq!(got, fields, "{text}");
        assert_eq!(map.attributes, attributes, "{text}");
    }

    #[test]
    fn words() {
        check(
            "uid=user, userPassword=password",
            &[("uid", "user", None), ("userPassword", "password", None)],
            &["uid", "userPassword"],
        );
        check("mail", &[("mail", "mail", None)], &["mail"]);
        check("quota=quota_rule=*:bytes=%$", &[("quota", "quota_rule", Some("*:bytes=%$"))], &["quota"]);
        check("home=home=/mail/", &[("home", "home", Some("/mail/%$"))], &["home"]);
        check(
            "=home=/vmail/%{ldap:uid:none}/%d",
            &[("", "home", Some("/vmail/%{ldap:uid:none}/%d"))],
            &["uid"],
        );
        check("=nopassword", &[("", "nopassword", Some(""))], &[]);
        check(
            "!mail,x@sub=y,@sub=manager",
            &[("mail", "", None), ("x@sub", "y", None), ("manager", "sub", None)],
            &["mail", "manager"],
        );
        assert_eq!(AttrMap::parse("a=", None), Err("Invalid attrs entry: a=".into()));
        assert_eq!(AttrMap::parse("uid=user,p=password", Some("password")).unwrap().fields.len(), 1);
        let map = AttrMap::parse("@m=manager,mail@m=x,=y=%{ldap:cn@m}", None).unwrap();
        assert_eq!(map.attributes_of("m"), ["mail", "cn"]);
    }
}
