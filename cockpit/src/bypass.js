export function bypassBanner() {}
