/** A wrapping key in memory: the SDK makes one data key per object under it. `bytes` is 32 random bytes and is never written in the clear. */
export type WrappingKey = { readonly id: string; readonly bytes: Uint8Array };

/** The installation's master key in memory. */
export type MasterKey = { readonly bytes: Uint8Array };
