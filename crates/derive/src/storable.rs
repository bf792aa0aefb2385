//! What `#[storable]` expands to.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::visit_mut::VisitMut;
use syn::{
    Data, DeriveInput, Error, Expr, Field, Fields, GenericParam, Generics, Ident, Path, Result,
    Type,
};
use syn::{parse_quote, parse_quote_spanned, spanned::Spanned};

use crate::options::{Options, rkyv_option, take_opaque};
use crate::recursion::{Own, flat};

/// The item with rkyv's derives, followed by its `Storable`.
pub(crate) fn expand(options: &Options, mut item: DeriveInput) -> Result<TokenStream> {
    refuse(&item)?;
    let mut expansion = Expansion {
        krate: &options.krate,
        own: Own::new(&item, &options.krate),
        bounds: Vec::new(),
        parameters: item.generics.type_params().map(|parameter| parameter.ident.clone()).collect(),
        cut: false,
    };
    let structure = expansion.structure(&mut item.data)?;
    let storable = expansion.storable(&item, &structure);
    let derives = expansion.derives(options);
    Ok(quote! {
        #derives
        #item
        #storable
    })
}

fn refuse(item: &DeriveInput) -> Result<()> {
    if let Data::Union(union) = &item.data {
        return Err(Error::new_spanned(
            union.union_token,
            "a union cannot be stored: its bytes do not say what it holds",
        ));
    }
    if let Some(lifetime) = item.generics.lifetimes().next() {
        return Err(Error::new_spanned(
            lifetime,
            "a stored type owns what it holds: no lifetime parameters",
        ));
    }
    match rkyv_option(&item.attrs, &["as", "remote"]) {
        Some(option) => Err(Error::new(
            option.span(),
            format!(
                "`{option}` puts another type in the archived form's place, which the fingerprint would not see"
            ),
        )),
        None => Ok(()),
    }
}

struct Expansion<'a> {
    krate: &'a Path,
    own: Own,
    /// Field types that depend on a parameter: storable only if the parameter's type makes them so.
    bounds: Vec<Type>,
    parameters: Vec<Ident>,
    /// Whether some field's bounds were taken away from rkyv.
    cut: bool,
}

impl Expansion<'_> {
    /// The calls that add fields or variants to a fingerprint.
    fn structure(&mut self, data: &mut Data) -> Result<TokenStream> {
        match data {
            Data::Struct(data) => {
                let fields = self.fields(&mut data.fields)?;
                Ok(quote!(.with_str("struct") #fields))
            }
            Data::Enum(data) => {
                let count = data.variants.len() as u64;
                let mut structure = quote!(.with_str("enum").with_u64(#count));
                let (mut base, mut offset): (Expr, u64) = (parse_quote!(0), 0);
                for variant in &mut data.variants {
                    if let Some((_, discriminant)) = &variant.discriminant {
                        (base, offset) = (discriminant.clone(), 0);
                    }
                    let name = variant.ident.unraw().to_string();
                    let fields = self.fields(&mut variant.fields)?;
                    let discriminant = quote!(((#base) as i128 as u64).wrapping_add(#offset));
                    structure.extend(quote!(.with_str(#name).with_u64(#discriminant) #fields));
                    offset += 1;
                }
                Ok(structure)
            }
            Data::Union(_) => Ok(TokenStream::new()),
        }
    }

    fn fields(&mut self, fields: &mut Fields) -> Result<TokenStream> {
        let count = fields.len() as u64;
        let mut calls = quote!(.with_u64(#count));
        for (at, field) in fields.iter_mut().enumerate() {
            let name = field
                .ident
                .as_ref()
                .map_or_else(|| at.to_string(), |name| name.unraw().to_string());
            let part = self.field(field)?;
            calls.extend(quote!(.with_str(#name).with(#part)));
        }
        Ok(calls)
    }

    /// The fingerprint of one field.
    fn field(&mut self, field: &mut Field) -> Result<TokenStream> {
        let (krate, marked) = (self.krate, take_opaque(&mut field.attrs)?);
        if marked {
            self.omit_bounds(field);
        }
        if marked || rkyv_option(&field.attrs, &["with"]).is_some() {
            let (ty, with) = (
                &field.ty,
                field.attrs.iter().filter(|attribute| attribute.path().is_ident("rkyv")),
            );
            let written = flat(quote!(#ty #(#with)*));
            return Ok(quote! {
                #krate::Fingerprint::of("opaque")
                    .with_str(#written)
                    .with_str(::core::module_path!())
                    .with_str(match ::core::option_env!("CARGO_PKG_VERSION") {
                        ::core::option::Option::Some(version) => version,
                        ::core::option::Option::None => "",
                    })
            });
        }
        let cut = self.own.cut(&field.ty);
        if cut.is_some() {
            self.omit_bounds(field);
        }
        let ty = cut.unwrap_or_else(|| field.ty.clone());
        if self.has_parameter(&ty) {
            self.bounds.push(ty.clone());
        }
        let storable: Path = parse_quote_spanned!(field.ty.span()=> #krate::codec::Storable);
        Ok(quote!(<#ty as #storable>::FINGERPRINT))
    }

    fn omit_bounds(&mut self, field: &mut Field) {
        self.cut = true;
        if rkyv_option(&field.attrs, &["omit_bounds"]).is_none() {
            field.attrs.push(parse_quote!(#[rkyv(omit_bounds)]));
        }
    }

    fn has_parameter(&self, ty: &Type) -> bool {
        struct Search<'a>(&'a [Ident], bool);
        impl VisitMut for Search<'_> {
            fn visit_ident_mut(&mut self, ident: &mut Ident) {
                self.1 |= self.0.contains(ident);
            }
        }
        let mut search = Search(&self.parameters, false);
        search.visit_type_mut(&mut ty.clone());
        search.1
    }

    fn storable(&self, item: &DeriveInput, structure: &TokenStream) -> TokenStream {
        let (krate, ident, name) = (self.krate, &item.ident, item.ident.unraw().to_string());
        let generics = self.bounded(&item.generics);
        let (impl_generics, parameters, bounds) = generics.split_for_impl();
        let (hashes, names) = self.parameters(&item.generics);
        let concrete = item.generics.params.is_empty().then(|| {
            quote!(const _: #krate::Fingerprint = <#ident as #krate::codec::Storable>::FINGERPRINT;)
        });
        quote! {
            #[automatically_derived]
            // SAFETY: name, parameters and every field or variant in order, each with its own fingerprint, make up the
            // fingerprint; nothing else decides about the archived form that rkyv derives.
            unsafe impl #impl_generics #krate::codec::Storable for #ident #parameters #bounds {
                const FINGERPRINT: #krate::Fingerprint =
                    #krate::Fingerprint::of_archived::<<Self as #krate::rkyv::Archive>::Archived>(#name)
                        #hashes #structure;

                fn type_name() -> ::std::string::String {
                    let parameters: &[::std::string::String] = &[#(#names),*];
                    if parameters.is_empty() {
                        ::std::string::String::from(#name)
                    } else {
                        ::std::format!("{}<{}>", #name, parameters.join(", "))
                    }
                }
            }
            #concrete
        }
    }

    fn bounded(&self, generics: &Generics) -> Generics {
        let krate = self.krate;
        let mut generics = generics.clone();
        let bounds = generics.make_where_clause();
        for parameter in &self.parameters {
            bounds.predicates.push(parse_quote!(#parameter: #krate::codec::Storable));
        }
        for ty in &self.bounds {
            bounds.predicates.push(parse_quote!(#ty: #krate::codec::Storable));
        }
        generics
    }

    /// What the parameters add to the fingerprint, and their names.
    fn parameters(&self, generics: &Generics) -> (TokenStream, Vec<TokenStream>) {
        let (krate, mut hashes, mut names) = (self.krate, TokenStream::new(), Vec::new());
        for parameter in &generics.params {
            match parameter {
                GenericParam::Type(parameter) => {
                    let ident = &parameter.ident;
                    hashes.extend(quote!(.with(<#ident as #krate::codec::Storable>::FINGERPRINT)));
                    names.push(quote!(<#ident as #krate::codec::Storable>::type_name()));
                }
                GenericParam::Const(parameter) => {
                    let ident = &parameter.ident;
                    hashes.extend(quote!(.with_u64(#ident as u64)));
                    names.push(quote!(::std::format!("{}", #ident)));
                }
                GenericParam::Lifetime(_) => {}
            }
        }
        (hashes, names)
    }

    fn derives(&self, options: &Options) -> TokenStream {
        let (krate, archived) = (self.krate, &options.archived);
        let cut = self.cut.then(|| {
            quote! {
                #[rkyv(
                    serialize_bounds(
                        __S: #krate::rkyv::ser::Writer + #krate::rkyv::ser::Allocator + #krate::rkyv::ser::Sharing,
                        __S::Error: #krate::rkyv::rancor::Source,
                    ),
                    deserialize_bounds(
                        __D: #krate::rkyv::de::Pooling,
                        __D::Error: #krate::rkyv::rancor::Source,
                    ),
                    bytecheck(bounds(
                        __C: #krate::rkyv::validation::ArchiveContext + #krate::rkyv::validation::SharedContext,
                        <__C as #krate::rkyv::rancor::Fallible>::Error: #krate::rkyv::rancor::Source,
                    ))
                )]
            }
        });
        quote! {
            #[derive(#krate::rkyv::Archive, #krate::rkyv::Serialize, #krate::rkyv::Deserialize)]
            #[rkyv(crate = #krate::rkyv)]
            #(#[rkyv(#archived)])*
            #cut
        }
    }
}
