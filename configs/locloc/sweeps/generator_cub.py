# LocLoc on CUB, masks and generator of maps.
base = 'locloc_deit-s_cub'
cells = {
    '': {},
    # Masks of its baseline, the Proxy Probing Decoder (PPD): attention of the last block's heads 0 to 2, thresholded at
    # 0.05. The official ILSVRC loader of the generator reads such masks, too.
    'ppd-masks': {'stages.0.train_cfg.writer.preset': 'ppd'},
    # The generator of PPD, which the official training script builds, too.
    'ppd-generator': {'model.head.generator': dict(_delete_=True, type='ppd')},
    # Ours: a U-Net that uses its deepest level, which the official code computes in vain.
    'unet-skip': {'model.head.generator.fix_unet_skip': True},
}
