import { createFamilyEngine } from '../mysql-family/create-engine.js';
import { mariadbBrand } from './brand.js';

export const mariadbEngine = createFamilyEngine(mariadbBrand);
