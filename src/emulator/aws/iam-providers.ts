import { quotas, type Account, type OidcProvider } from './account.ts'
import { AwsError } from './aws-error.ts'
import type { IamActions } from './iam-action.ts'
import { validationError, type Parameters } from './query-parameters.ts'

const maxClientIds = 100
const maxThumbprints = 5

function find(account: Account, parameters: Parameters): OidcProvider {
  const arn = parameters.require('OpenIDConnectProviderArn')
  const provider = [...account.providers.values()].find((each) => each.arn === arn)
  if (!provider) throw new AwsError(404, 'NoSuchEntity', `OpenIDConnect Provider not found for arn ${arn}`)
  return provider
}

function readUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol !== 'https:' || url.search !== '' || url.hash !== '' || url.username !== '') {
    throw validationError('Invalid Open ID Connect Provider URL')
  }
  return text.slice('https://'.length)
}

function readThumbprints(parameters: Parameters): readonly string[] {
  const thumbprints = parameters.list('ThumbprintList')
  if (thumbprints.length > maxThumbprints || !thumbprints.every((each) => /^[0-9a-fA-F]{40}$/.test(each))) {
    throw new AwsError(400, 'InvalidInput', 'Thumbprints must be at most five SHA-1 digests in hexadecimal')
  }
  return thumbprints
}

const resource = (_account: Account, parameters: Parameters) =>
  parameters.get('OpenIDConnectProviderArn') ?? '*'

/** The registry of OIDC issuers. Thumbprints are kept but, as at AWS for public CAs, do not decide. */
export const providerActions: IamActions = {
  CreateOpenIDConnectProvider: {
    resource: () => '*',
    run(account, parameters, at) {
      const host = readUrl(parameters.require('Url', { max: 255 }))
      const clientIds = parameters.list('ClientIDList')
      if (account.providers.has(host)) {
        throw new AwsError(409, 'EntityAlreadyExists', `Provider with url https://${host} already exists.`)
      }
      if (account.providers.size >= quotas.providers || clientIds.length > maxClientIds) {
        throw new AwsError(
          409,
          'LimitExceeded',
          'Cannot exceed quota for OpenID Connect providers or client IDs',
        )
      }
      const arn = `arn:aws:iam::${account.id}:oidc-provider/${host}`
      const thumbprints = readThumbprints(parameters)
      account.providers.set(host, {
        arn,
        host,
        createdAt: at,
        clientIds: [...new Set(clientIds)],
        thumbprints,
      })
      return { OpenIDConnectProviderArn: arn }
    },
  },
  ListOpenIDConnectProviders: {
    resource: () => '*',
    run: (account) => ({
      OpenIDConnectProviderList: { member: [...account.providers.values()].map(({ arn }) => ({ Arn: arn })) },
    }),
  },
  GetOpenIDConnectProvider: {
    resource,
    run(account, parameters) {
      const { host, clientIds, thumbprints, createdAt } = find(account, parameters)
      return {
        Url: host,
        CreateDate: new Date(createdAt).toISOString(),
        ClientIDList: { member: clientIds },
        ThumbprintList: { member: thumbprints },
      }
    },
  },
  AddClientIDToOpenIDConnectProvider: {
    resource,
    run(account, parameters) {
      const provider = find(account, parameters)
      const clientIds = [...new Set([...provider.clientIds, parameters.require('ClientID', { max: 255 })])]
      if (clientIds.length > maxClientIds) throw new AwsError(409, 'LimitExceeded', 'Too many client IDs')
      provider.clientIds = clientIds
      return undefined
    },
  },
  RemoveClientIDFromOpenIDConnectProvider: {
    resource,
    run(account, parameters) {
      const provider = find(account, parameters)
      const clientId = parameters.require('ClientID', { max: 255 })
      provider.clientIds = provider.clientIds.filter((each) => each !== clientId)
      return undefined
    },
  },
  UpdateOpenIDConnectProviderThumbprint: {
    resource,
    run(account, parameters) {
      find(account, parameters).thumbprints = readThumbprints(parameters)
      return undefined
    },
  },
  DeleteOpenIDConnectProvider: {
    resource,
    run(account, parameters) {
      account.providers.delete(find(account, parameters).host)
      return undefined
    },
  },
}
