import type { Policy } from './policy.ts'

/** Who a verified request comes from. */
export type Principal =
  | { readonly kind: 'anonymous' }
  | { readonly kind: 'root'; readonly arn: string; readonly userId: string }
  | {
      readonly kind: 'assumed-role'
      /** `arn:aws:sts::<account>:assumed-role/<role>/<session>` */
      readonly arn: string
      /** `<role id>:<session>` */
      readonly userId: string
      readonly roleName: string
      readonly roleId: string
      readonly sessionName: string
      /** Narrows what the role allows. */
      readonly sessionPolicy?: Policy
    }
