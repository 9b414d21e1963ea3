/** Limits of the published gateway for one provider. */
export const MAX_PROVIDER_NAME = 253;
export const MAX_TYPE_LENGTH = 64;
export const MAX_CREDENTIALS = 32;
export const MAX_CONFIG_ENTRIES = 64;
/** Keys that one call for credentials may ask for. */
export const MAX_CREDENTIAL_KEYS = 32;
