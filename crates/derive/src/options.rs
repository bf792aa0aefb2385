//! What stands between the parentheses of an attribute.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Error, Ident, Path, Result, Token, parenthesized, parse_quote};

/// The options of `#[storable(…)]` and `#[element(…)]`.
pub(crate) struct Options {
    /// Where `inplace` is found.
    pub(crate) krate: Path,
    /// `derive(…)` and `compare(…)`, as rkyv takes them.
    pub(crate) archived: Vec<TokenStream>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self { krate: parse_quote!(::inplace), archived: Vec::new() };
        while !input.is_empty() {
            options.parse_one(input)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(options)
    }
}

impl Options {
    fn parse_one(&mut self, input: ParseStream<'_>) -> Result<()> {
        if input.peek(Token![crate]) {
            input.parse::<Token![crate]>()?;
            input.parse::<Token![=]>()?;
            self.krate = input.call(Path::parse_mod_style)?;
            return Ok(());
        }
        let name: Ident = input.parse()?;
        if name != "derive" && name != "compare" {
            return Err(Error::new(
                name.span(),
                "expected `derive(…)`, `compare(…)` or `crate = path`",
            ));
        }
        let list;
        parenthesized!(list in input);
        let list: TokenStream = list.parse()?;
        self.archived.push(quote!(#name(#list)));
        Ok(())
    }
}

/// Takes `#[storable(opaque)]` off a field: whether it was there.
pub(crate) fn take_opaque(attributes: &mut Vec<Attribute>) -> Result<bool> {
    let mut opaque = false;
    for attribute in attributes.extract_if(.., |attribute| attribute.path().is_ident("storable")) {
        attribute.parse_nested_meta(|meta| {
            opaque |= meta.path.is_ident("opaque");
            opaque.then_some(()).ok_or_else(|| meta.error("expected `opaque`"))
        })?;
    }
    Ok(opaque)
}

/// The first of `names` that some `#[rkyv(…)]` attribute sets.
pub(crate) fn rkyv_option(attributes: &[Attribute], names: &[&str]) -> Option<Ident> {
    let rkyv = attributes.iter().filter(|attribute| attribute.path().is_ident("rkyv"));
    rkyv.filter_map(|attribute| attribute.meta.require_list().ok())
        .flat_map(|list| list.tokens.clone())
        .find_map(|token| match token {
            proc_macro2::TokenTree::Ident(ident) if names.iter().any(|name| ident == name) => {
                Some(ident)
            }
            _ => None,
        })
}
