import { createFamilyChainEngine } from '../mysql-family/chain/create-chain-engine.js';
import { mariadbBrand } from './brand.js';

export const mariadbChainEngine = createFamilyChainEngine(mariadbBrand);
