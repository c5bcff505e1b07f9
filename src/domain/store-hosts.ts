/** What decides to which host the requests for a bucket go. */
export type StorePlace = {
  readonly endpoint: string | null;
  readonly region: string | null;
  readonly bucket: string | null;
  readonly forcePathStyle: boolean;
};

/**
 * Every host that is contacted for a bucket, for the list of allowed hosts: without an endpoint that is AWS itself, and unless the path
 * carries the bucket its name becomes part of the host, which then may lead anywhere.
 */
export function storeHosts({ endpoint, region, bucket, forcePathStyle }: StorePlace): string[] {
  const base = endpoint === null ? awsHost(region ?? 'us-east-1') : URL.parse(endpoint)?.hostname;
  if (base === undefined) return [];
  const isAddress = /^[\d.]+$|^\[/.test(base);
  return forcePathStyle || isAddress || bucket === null ? [base] : [base, `${bucket}.${base}`];
}

const awsHost = (region: string) => `s3.${region}.amazonaws.com${region.startsWith('cn-') ? '.cn' : ''}`;
