//! What `#[element]` expands to.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Data, DeriveInput, Error, Result};

use crate::options::Options;

/// The item as plain old data, followed by its `Element`.
pub(crate) fn expand(options: &Options, item: &DeriveInput) -> Result<TokenStream> {
    let Data::Struct(data) = &item.data else {
        return Err(Error::new_spanned(&item.ident, "an element is a struct of numbers"));
    };
    if let Some(parameter) = item.generics.params.first() {
        return Err(Error::new_spanned(parameter, "an element has no parameters"));
    }
    let (krate, ident, name) = (&options.krate, &item.ident, item.ident.unraw().to_string());
    let mut structure = TokenStream::new();
    for (at, field) in data.fields.iter().enumerate() {
        let name =
            field.ident.as_ref().map_or_else(|| at.to_string(), |name| name.unraw().to_string());
        let ty = &field.ty;
        structure
            .extend(quote!(.with_str(#name).with(<#ty as #krate::codec::Element>::FINGERPRINT)));
    }
    let bytemuck = quote!(#krate::bytemuck).to_token_stream().to_string().replace(' ', "");
    Ok(quote! {
        #[derive(Clone, Copy, #krate::bytemuck::Pod, #krate::bytemuck::Zeroable)]
        #[bytemuck(crate = #bytemuck)]
        #[repr(C)]
        #item

        #[automatically_derived]
        impl #krate::codec::Element for #ident {
            const FINGERPRINT: #krate::Fingerprint =
                #krate::Fingerprint::of(#name).with_u64(::core::mem::size_of::<#ident>() as u64) #structure;

            fn type_name() -> ::std::string::String {
                ::std::string::String::from(#name)
            }
        }
    })
}
