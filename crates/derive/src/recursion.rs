//! Types that hold themselves: finding their own name in a field, and standing something else in its place.

use proc_macro2::{TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::visit_mut::{VisitMut, visit_type_mut};
use syn::{Attribute, DeriveInput, Path, Type, Visibility, parse_quote};

/// A type under definition, and what stands for it in its own fields.
pub(crate) struct Own {
    name: String,
    marker: Type,
}

impl Own {
    pub(crate) fn new(item: &DeriveInput, krate: &Path) -> Self {
        let (ident, (_, parameters, _)) = (&item.ident, item.generics.split_for_impl());
        let definition = fnv(&flat(bare(item).into_token_stream()));
        Self {
            name: flat(quote!(#ident #parameters)),
            marker: parse_quote!(#krate::codec::Itself<#definition>),
        }
    }

    /// `field` with the marker in place of the type itself; `None` when it does not hold it.
    pub(crate) fn cut(&self, field: &Type) -> Option<Type> {
        let mut cut = Cut { own: self, found: false };
        let mut field = field.clone();
        cut.visit_type_mut(&mut field);
        cut.found.then_some(field)
    }
}

/// The item without what does not make its structure: attributes, documentation and visibilities.
fn bare(item: &DeriveInput) -> DeriveInput {
    struct Strip;
    impl VisitMut for Strip {
        fn visit_attributes_mut(&mut self, attributes: &mut Vec<Attribute>) {
            attributes.clear();
        }
        fn visit_visibility_mut(&mut self, visibility: &mut Visibility) {
            *visibility = Visibility::Inherited;
        }
    }
    let mut item = item.clone();
    Strip.visit_derive_input_mut(&mut item);
    item
}

struct Cut<'a> {
    own: &'a Own,
    found: bool,
}

impl VisitMut for Cut<'_> {
    fn visit_type_mut(&mut self, node: &mut Type) {
        let text = flat(node.to_token_stream());
        if text == self.own.name || text == "Self " {
            *node = self.own.marker.clone();
            self.found = true;
        } else {
            visit_type_mut(self, node);
        }
    }
}

/// Tokens as text, with one space after each: the same whatever compiler prints them.
pub(crate) fn flat(tokens: TokenStream) -> String {
    tokens
        .into_iter()
        .map(|token| match token {
            TokenTree::Group(group) => {
                format!("{:?} {}end ", group.delimiter(), flat(group.stream()))
            }
            token => format!("{token} "),
        })
        .collect()
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}
