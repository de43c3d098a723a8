//Numpy array shape [6]
//Min -0.327292084694
//Max 0.356466770172
//Number of zeros 0

#ifndef B2_H_
#define B2_H_

#ifndef __SYNTHESIS__
fc1_bias_t b2[6];
#else
fc1_bias_t b2[6] = {0.2374992222, 0.3564667702, 0.1283393204, -0.3272920847, 0.2926609218, -0.2005760074};

#endif

#endif
